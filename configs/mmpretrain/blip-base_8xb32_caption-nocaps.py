# NoCaps has no training data: captions are learned from COCO, as in upstream's
# config, and written for the images of NoCaps after each epoch.
_base_ = './blip-base_8xb32_caption.py'

val_dataloader = dict(
    dataset=dict(
        type='NoCaps',
        data_root='data/nocaps/',
        data_prefix=dict(img_path='images/'),
        ann_file='annotations/nocaps_val_4500_captions.json',
    )
)
val_evaluator = dict(_delete_=True, type='NocapsSave', save_dir='./')
test_dataloader = val_dataloader
test_evaluator = val_evaluator
