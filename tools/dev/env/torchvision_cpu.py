"""Let torchvision be imported beside a CPU build of torch.

torchvision wheels are built for the CUDA build of torch. Beside a CPU build
their extension cannot be loaded, and `import torchvision` then dies because
it describes two operators that the extension would have defined. Defining
their schemas first is enough: the operators exist but cannot run, and the
OpenMMLab packages use those of mmcv instead.

`tools/dev/setup_env.sh` copies this file into site-packages, beside a `.pth`
file that imports it when Python starts. So it must stay cheap: it only leaves
a finder behind, which acts once, after torchvision has tried its extension.
Where that worked, the finder does nothing.
"""

import sys

SCHEMAS = {
    'nms': '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'qnms': '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
}


class _DefineMissingOps:
    """Finder that finds nothing, but knows when torchvision needs the ops."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == 'torchvision._meta_registrations':
            sys.meta_path.remove(cls)
            define_missing_ops()
        return None


def define_missing_ops():
    """Define the schemas that the extension of torchvision has not."""
    import torch

    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f'torchvision::{name}', schema)


sys.meta_path.insert(0, _DefineMissingOps)
