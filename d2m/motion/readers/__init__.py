"""Motion files of any kind that people have → SMPL rotations and translation, metres, Y up; one module a family, one row a format.

| module      | reads                                                                                  |
|-------------|----------------------------------------------------------------------------------------|
| `aistpp`    | AIST++'s pickles, and those of EDGE and its descendants                                |
| `amass`     | AMASS and its like: SMPL, SMPL-H, SMPL-X, whole or in parts, Motion-X                  |
| `people`    | what recovers people from films: WHAM, 4D-Humans, GVHMR, TRAM                          |
| `features`  | the 219 features, bare rotations                                                       |
| `bvh`       | BVH skeletons with the usual names                                                     |
| `positions` | positions of SMPL's joints, HumanML3D's features                                       |
| `keypoints` | what detectors write (`detections`): MediaPipe's landmarks, COCO's and OpenPose's keypoints |

`formats` holds the table of rows, `content` the loaders by suffix (nothing of a file is ever run), `recording` what every
reader takes and gives, `rotations` the forms in which rotations are written, `physics` what a body shows where its file is
silent. A new format is a module with a function that recognises it and
one that reads it, a row of the table, and a test.
"""

from d2m.motion.readers.formats import FORMATS, SUFFIX_LIST, SUFFIXES, expect_suffix, read_recording
from d2m.motion.readers.recording import Hints, Recording

__all__ = ["FORMATS", "SUFFIXES", "SUFFIX_LIST", "Hints", "Recording", "expect_suffix", "read_recording"]
