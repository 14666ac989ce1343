"""Small data for the packages besides mmdet, mmpretrain and mmseg."""

import pickle

import cv2
import numpy as np
from zoo_data import make_image, write_image, write_json

SAMPLES = 24
SIZE = 96
KITTI = ('Pedestrian', 'Cyclist', 'Car')
# From the lidar (forward, left, up) to the camera (right, down, forward).
LIDAR_TO_CAMERA = [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def write_people(root, rng):
    """COCO: a box and 17 keypoints of a person in each image."""
    images, annotations = [], []
    for index in range(SAMPLES):
        name = f'{index:012d}.jpg'
        write_image(root / 'train2017' / name, make_image(rng, SIZE, SIZE)[0])
        images.append(dict(id=index, file_name=name, height=SIZE, width=SIZE))
        x, y, width, height = 8, 8, 70, 80
        points = rng.uniform(0, 1, (17, 2)) * (width, height) + (x, y)
        keypoints = np.concatenate([points, np.full((17, 1), 2)], 1)
        annotations.append(
            dict(
                id=index,
                image_id=index,
                category_id=1,
                iscrowd=0,
                area=width * height,
                bbox=[x, y, width, height],
                keypoints=keypoints.round(1).flatten().tolist(),
                num_keypoints=17,
            )
        )
    content = dict(
        images=images,
        annotations=annotations,
        categories=[dict(id=1, name='person')],
    )
    for kind in ('person_keypoints', 'instances'):
        write_json(root / f'annotations/{kind}_train2017.json', content)


def write_videos(root, rng):
    """Clips of 8 frames in two classes, and a list of them."""
    root.mkdir(parents=True)
    lines = []
    for index in range(SAMPLES):
        name = f'{index}.avi'
        code = cv2.VideoWriter_fourcc(*'MJPG')
        writer = cv2.VideoWriter(str(root / name), code, 8, (64, 48))
        for _ in range(8):
            writer.write(make_image(rng, 48, 64)[0])
        writer.release()
        lines.append(f'{name} {index % 2}\n')
    (root / 'list.txt').write_text(''.join(lines))


def write_points(root, rng):
    """KITTI: a cloud of points with a box of each class."""
    folder = root / 'training/velodyne_reduced'
    folder.mkdir(parents=True)
    data_list = []
    for index in range(SAMPLES):
        points = rng.uniform((0, -5, -2, 0), (10, 5, 0, 1), (400, 4))
        points.astype(np.float32).tofile(folder / f'{index:06d}.bin')
        instances = [
            dict(
                bbox=[0.0, 0.0, 20.0, 20.0],
                bbox_label=label,
                # x, y, z, length, height, width and angle, for the camera
                bbox_3d=[*rng.uniform((-3, 1, 2), (3, 1.5, 8)), *size, 0.0],
                bbox_label_3d=label,
                num_lidar_pts=9,
                difficulty=0,
                truncated=0.0,
                occluded=0,
                alpha=0.0,
                group_id=label,
            )
            for label, size in enumerate(
                [(0.8, 1.7, 0.6), (1.8, 1.7, 0.6), (3.9, 1.6, 1.6)]
            )
        ]
        camera = dict(
            img_path=f'{index:06d}.png',
            height=64,
            width=64,
            cam2img=np.eye(4).tolist(),
            lidar2cam=LIDAR_TO_CAMERA,
        )
        data_list.append(
            dict(
                sample_idx=index,
                lidar_points=dict(
                    num_pts_feats=4, lidar_path=f'{index:06d}.bin'
                ),
                images=dict(CAM2=camera),
                instances=instances,
            )
        )
    categories = {name: label for label, name in enumerate(KITTI)}
    metainfo = dict(categories=categories, dataset='kitti')
    (root / 'kitti_infos_train.pkl').write_bytes(
        pickle.dumps(dict(metainfo=metainfo, data_list=data_list))
    )


def write_aerial(root, rng):
    """DOTA: a leaning plane in each image, as a text of its corners."""
    folder = root / 'trainval/annfiles'
    folder.mkdir(parents=True)
    for index in range(SAMPLES):
        image = make_image(rng, SIZE, SIZE)[0]
        write_image(root / f'trainval/images/P{index:04d}.png', image)
        x, y = rng.integers(30, 60, 2)
        corners = [x, y - 25, x + 12, y - 13, x, y + 20, x - 12, y + 8]
        (folder / f'P{index:04d}.txt').write_text(
            ' '.join(map(str, corners)) + ' plane 0\n'
        )


def write_words(root, rng):
    """Pictures of words, and what they say."""
    entries = []
    for index in range(SAMPLES):
        word = ''.join(rng.choice(list('abcde'), rng.integers(1, 5)))
        image = np.full((32, 100, 3), 255, np.uint8)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(image, word, (4, 24), font, 0.8, (0, 0, 0), 2)
        write_image(root / f'imgs/{index}.png', image)
        entries.append(
            dict(img_path=f'{index}.png', instances=[dict(text=word)])
        )
    metainfo = dict(dataset_type='TextRecogDataset', task_name='textrecog')
    write_json(
        root / 'labels.json', dict(metainfo=metainfo, data_list=entries)
    )


def write_pairs(root, rng):
    """Images, and what is left of them at a fourth of their size."""
    for index in range(SAMPLES):
        image = make_image(rng, 128, 128)[0]
        write_image(root / f'large/{index:04d}.png', image)
        small = cv2.resize(image, (32, 32))
        write_image(root / f'small/{index:04d}.png', small)
