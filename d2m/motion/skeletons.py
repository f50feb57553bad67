"""Which joint of a skeleton is which of SMPL's, by the names that capture suites, data sets and games give them.

Names differ in prefixes (`mixamorig:`, `Bip01 `, `Robot_`), in how they say the side (`LeftArm`, `arm_l`, `lhumerus`) and in
whether a bone or the joint at its upper end is meant (`LeftLeg`, `LeftKnee`). Pelvis, spine and chest are found in the tree:
where both legs and both arms come together, and what lies between.
"""

import re
from collections import Counter
from itertools import pairwise

from d2m.motion.bvh import Bvh

_SIDES = {"left": "left", "l": "left", "lf": "left", "lt": "left", "right": "right", "r": "right", "rt": "right"}

_PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "hip": (("upleg", "upperleg", "thigh", "femur"), ("hip",)),
    "knee": (("knee", "lowerleg", "lowleg", "loleg", "shin", "calf", "tibia", "leg"),),
    "ankle": (("ankle",), ("foot",)),
    "foot": (("toebase", "toe", "toes", "toe0", "ball", "forefoot"), ("foot",)),
    "collar": (("collar", "clavicle", "collarbone", "clav"), ("shoulder",)),
    "shoulder": (("upperarm", "uparm", "humerus", "arm"), ("shoulder",)),
    "elbow": (("elbow", "forearm", "lowerarm", "lowarm", "loarm", "radius"),),
    "wrist": (("wrist",), ("hand",)),
    "hand": (("fingerbase", "handmiddle1", "middle1", "middle01", "fingermiddle1", "handmiddle"), ("hand",)),
}
"""SMPL's joint of a limb → what it is called: names of the first group go before those of the second, which mean another joint
where that has no name of its own."""

_LIMBS = (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))


def _words(name: str) -> list[str]:
    """`LeftUpLeg`, `left_up.leg` → left, up, leg."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]


def _without_prefix(names: list[str]) -> list[str]:
    """Names without what most of them begin with, which is the character's."""
    names = [name.rsplit(":", 1)[-1] for name in names]
    for _ in range(3):
        heads = Counter(re.split(r"[_\-. ]", name, maxsplit=1)[0] for name in names if re.search(r"[_\-. ]", name))
        head, count = heads.most_common(1)[0] if heads else ("", 0)
        if count * 2 <= len([name for name in names if name]) or head.lower() in _SIDES:
            return names
        names = [re.sub(rf"^{re.escape(head)}[_\-. ]", "", name) for name in names]
    return names


def _side_and_part(name: str) -> tuple[str | None, str]:
    words = _words(name)
    sides = [_SIDES[word] for word in words if word in _SIDES]
    if sides:
        rest = [word for number, word in enumerate(words) if word not in _SIDES or number != _first_side(words)]
        return sides[0], "".join(rest)
    joined = "".join(words)
    known = {part for groups in _PARTS.values() for group in groups for part in group}
    for mark, side in sorted(_SIDES.items(), key=lambda item: -len(item[0])):
        if joined.startswith(mark) and joined[len(mark) :] in known:
            return side, joined[len(mark) :]
        if joined.endswith(mark) and joined[: -len(mark)] in known:
            return side, joined[: -len(mark)]
    return None, joined


def _first_side(words: list[str]) -> int:
    return next(number for number, word in enumerate(words) if word in _SIDES)


def smpl_joints_of(bvh: Bvh, root: int) -> dict[str, int]:
    """SMPL's names → numbers of joints below a root; empty where it is no body.

    Limbs are whole; `pelvis` is where the legs meet and `spine3` where the arms do (possibly the same joint). Collars, toes,
    hands, neck and head may be missing.
    """
    within = [joint for joint in range(len(bvh.names)) if bvh.names[joint] and bvh.ancestors(joint)[-1] == root]
    clean = dict(zip(within, _without_prefix([bvh.names[joint] for joint in within]), strict=True))
    named: dict[tuple[str, str], int] = {}
    found: dict[str, int] = {}
    for joint, name in clean.items():
        side, part = _side_and_part(name)
        if side:
            named.setdefault((side, part), joint)
        elif middle := re.fullmatch(r"(?:lower|upper|c)?(neck|head)\d*", part):
            found.setdefault(middle[1], joint)
    for side in ("left", "right"):
        taken: set[int] = set()
        for part, groups in _PARTS.items():
            if part == "collar" and not any((side, alias) in named for alias in _PARTS["shoulder"][0]):
                groups = groups[:1]  # a shoulder is the upper end of the arm where nothing else is
            options = [named[side, alias] for group in groups for alias in group if (side, alias) in named]
            for joint in [joint for joint in options if joint not in taken][:1]:
                found[f"{side}_{part}"] = joint
                taken.add(joint)
    for limb in _LIMBS:
        for side in ("left", "right"):
            joints = [found.get(f"{side}_{part}", -1) for part in limb]
            if -1 in joints or not all(upper in bvh.ancestors(lower)[1:] for upper, lower in pairwise(joints)):
                return {}
    found["pelvis"] = _meeting(bvh, found["left_hip"], found["right_hip"])
    found["spine3"] = _meeting(bvh, found["left_shoulder"], found["right_shoulder"])
    return found


def _meeting(bvh: Bvh, a: int, b: int) -> int:
    line = set(bvh.ancestors(a))
    return next(joint for joint in bvh.ancestors(b) if joint in line)
