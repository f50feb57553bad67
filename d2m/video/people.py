"""Several people in a film: who they are, who of them dances, and how one of them is followed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from d2m.video.detection import Detection, Detector, Picture
from d2m.video.reader import Frame

SAME_PERSON_TORSOS = 1.5
"""A dancer's middle may move this many torso lengths between two frames and still be the same person …"""

SAME_PERSON_TORSOS_PER_S = 3.0
"""… and this many more in every second in which nobody was seen."""

SAME_PERSON_SCALE = 2.5
"""Nor may the torso look this many times larger or smaller; more after a second in which nobody was seen."""

MOST_PEOPLE = 4
"""That are told apart."""

_GOES_ON_S = 0.3
"""For so long a person out of sight is expected to go on as they went."""
_LOOK_MARGIN = 0.1
_GREY = 127
_SEEN_SHARE = 0.25
"""Who is seen in less of the pictures that are searched passes by."""
_FAR = 1e6


def likeness(a: Float[np.ndarray, " 64"] | None, b: Float[np.ndarray, " 64"] | None) -> float:
    """How alike two looks are, 0 to 1 (Bhattacharyya's coefficient, 1943); 0.5 where one is unknown."""
    return 0.5 if a is None or b is None else float(np.sqrt(a * b).sum())


@dataclass
class SamePerson:
    """Picks, among the people in a picture, the one seen before: by where the torso is and goes, how large it is, and where
    others are known, by the colours of the clothes.

    Args:
        size: width and height of the picture in pixels, whichever scale.
        look: of the person, and `others`: of other people in the film.
    """

    size: tuple[int, int]
    look: Float[np.ndarray, " 64"] | None = None
    others: Sequence[Float[np.ndarray, " 64"]] = ()
    _middle: np.ndarray | None = field(default=None, init=False)
    _speed: np.ndarray = field(default_factory=lambda: np.zeros(2), init=False)
    _torso: float = field(default=0.0, init=False)
    _time_s: float = field(default=0.0, init=False)

    def choose(self, people: list[Detection], time_s: float | int, picture: Picture | None = None) -> Detection | None:
        """The person, who is remembered at the new place; None when they are not here.

        After a cut, or at first, it is whoever looks like the person, else the largest one.
        """
        with_looks = [(one, one.look(picture) if picture is not None and self.others else None) for one in people]
        possible = [(one, look, *one.torso(self.size)) for one, look in with_looks if not self._is_another(look)]
        if self._middle is None:
            possible.sort(key=lambda entry: -entry[3] * likeness(entry[1], self.look))
        else:
            since_s = abs(time_s - self._time_s)
            limit, reach = SAME_PERSON_SCALE * (1 + since_s), self._reach(time_s)
            expected = self._middle + self._speed * min(since_s, _GOES_ON_S)
            near = [
                (float(np.linalg.norm(middle - expected)) / self._torso - likeness(look, self.look), one, middle, torso)
                for one, look, middle, torso in possible
                if np.linalg.norm(middle - self._middle) <= reach and 1 / limit < torso / self._torso < limit
            ]
            possible = [
                (one, None, middle, torso) for _, one, middle, torso in sorted(near, key=lambda entry: entry[0])
            ]
        if not possible:
            return None
        person, _, middle, torso = possible[0]
        self._remember(middle, torso, float(time_s))
        return person

    def cut(self) -> None:
        """Another shot begins: the person may be anywhere."""
        self._middle, self._speed = None, np.zeros(2)

    def surroundings(self, picture: Picture, time_s: float | int) -> Picture:
        """The picture with everything grey that is too far away for the person, so that nobody else is found."""
        if self._middle is None:
            return picture
        scale = picture.shape[1] / self.size[0]
        x, y = self._middle * scale
        reach = (self._reach(time_s) + 2.5 * self._torso) * scale  # from the middle to raised hands and to the feet
        left, right = max(0, int(x - reach)), min(picture.shape[1], int(x + reach) + 1)
        top, bottom = max(0, int(y - reach)), min(picture.shape[0], int(y + reach) + 1)
        blanked = np.full_like(picture, _GREY)
        blanked[top:bottom, left:right] = picture[top:bottom, left:right]
        return blanked

    def _is_another(self, look: Float[np.ndarray, " 64"] | None) -> bool:
        if look is None or self.look is None:
            return False
        return any(likeness(look, other) > likeness(look, self.look) + _LOOK_MARGIN for other in self.others)

    def _remember(self, middle: Float[np.ndarray, " 2"], torso: float, time_s: float) -> None:
        since_s = time_s - self._time_s
        if self._middle is None:
            self._torso = torso
        else:
            # the size is followed slowly: a torso seen from the side is no smaller person
            self._torso = 0.9 * self._torso + 0.1 * torso
            if since_s > 0:
                share = np.exp(-since_s / 0.1)
                self._speed = share * self._speed + (1 - share) * (middle - self._middle) / since_s
        self._middle, self._time_s = middle, time_s

    def _reach(self, time_s: float | int) -> float:
        return self._torso * (SAME_PERSON_TORSOS + SAME_PERSON_TORSOS_PER_S * abs(time_s - self._time_s))


@dataclass
class Person:
    """Somebody in the film's beginning.

    Args:
        sightings: time in seconds, where they are, and their look.
    """

    sightings: list[tuple[float, Detection, Float[np.ndarray, " 64"] | None]]

    @property
    def look(self) -> Float[np.ndarray, " 64"] | None:
        """The mean of the sightings."""
        looks = [look for _, _, look in self.sightings if look is not None]
        return np.mean(looks, axis=0) if looks else None

    def followed(self, size: tuple[int, int], others: Iterable["Person"]) -> SamePerson:
        """Somebody who follows this person from the film's first picture on."""
        looks = [other.look for other in others if other is not self]
        same = SamePerson(size, self.look, [look for look in looks if look is not None])
        time_s, first, _ = self.sightings[0]
        same._remember(*first.torso(size), time_s)
        return same

    def prominence(self, size: tuple[int, int], pictures: int) -> float:
        """How likely it is the dancer: large, in the middle, moving, and seen for long."""
        measured = [one.torso(size) for _, one, _ in self.sightings]
        torso = float(np.median([extent for _, extent in measured]))
        middle = float(np.median([place[0] for place, _ in measured])) / size[0]
        central = max(0.0, 1 - 2 * abs(middle - 0.5))
        moved = [
            np.linalg.norm((b.image[:, :2] - a.image[:, :2]) * np.array(size), axis=-1).mean() / torso / (t - s)
            for (s, a, _), (t, b, _) in zip(self.sightings[:-1], self.sightings[1:], strict=True)
        ]
        motion = float(np.mean(moved)) if moved else 0.0
        share = len(self.sightings) / pictures
        return torso * (0.5 + 0.5 * central) * (0.5 + motion / (motion + 0.5)) * share


def people_in(frames: Iterable[Frame], size: tuple[int, int], detector: Detector) -> list[Person]:
    """The people in some pictures of a film, a second or less from one to the next; the most prominent one first.

    Args:
        frames: in their order.
        size: width and height of the upright picture.
        detector: that follows nobody.
    """
    people: list[Person] = []
    pictures = 0
    for frame in frames:
        pictures += 1
        found = [(one, one.look(frame.picture)) for one in everybody(detector, frame)]
        costs = np.array([[_cost(person, one, look, frame.time_s, size) for one, look in found] for person in people])
        matched: set[int] = set()
        if costs.size:
            for row, column in zip(*linear_sum_assignment(costs), strict=True):
                if costs[row, column] < _FAR:
                    people[row].sightings.append((frame.time_s, *found[column]))
                    matched.add(int(column))
        people += [
            Person([(frame.time_s, *sighting)]) for number, sighting in enumerate(found) if number not in matched
        ]
    staying = [person for person in people if len(person.sightings) >= max(1.0, _SEEN_SHARE * pictures)]
    return sorted(staying, key=lambda person: -person.prominence(size, pictures))[:MOST_PEOPLE]


def everybody(detector: Detector, frame: Frame) -> list[Detection]:
    """All people in one picture, also by a detector that finds one at a time: who is found is painted over."""
    found: list[Detection] = []
    picture = frame.picture
    while len(found) < MOST_PEOPLE:
        new = [one for one in detector.people(picture, frame.time_s) if not _is_among(one, found, frame.picture)]
        if not new:
            break
        found += new
        picture = painted_over(picture, new)
    return found[:MOST_PEOPLE]


def painted_over(picture: Picture, people: Iterable[Detection]) -> Picture:
    """The picture with grey in place of some people."""
    painted, (height, width) = picture.copy(), picture.shape[:2]
    for one in people:
        left, top, right, bottom = one.box()
        top -= 0.1 * (bottom - top)  # the hair
        rows, columns = (
            slice(max(0, round(first * size)), max(0, round(last * size)))
            for first, last, size in ((top, bottom, height), (left, right, width))
        )
        painted[rows, columns] = _GREY
    return painted


def _is_among(one: Detection, found: list[Detection], picture: Picture) -> bool:
    size = (picture.shape[1], picture.shape[0])
    middle, torso = one.torso(size)
    return any(
        np.linalg.norm(other.torso(size)[0] - middle) < 0.5 * max(torso, other.torso(size)[1]) for other in found
    )


def _cost(
    person: Person, one: Detection, look: Float[np.ndarray, " 64"] | None, time_s: float, size: tuple[int, int]
) -> float:
    """How unlikely it is that `person` is seen there now."""
    last_s, last, _ = person.sightings[-1]
    (before, known), (middle, torso) = last.torso(size), one.torso(size)
    distance = float(np.linalg.norm(middle - before)) / known
    limit = SAME_PERSON_SCALE * (1 + time_s - last_s)
    if (
        distance > SAME_PERSON_TORSOS + SAME_PERSON_TORSOS_PER_S * (time_s - last_s)
        or not 1 / limit < torso / known < limit
    ):
        return _FAR
    return distance + abs(float(np.log(torso / known))) + 2 * (1 - likeness(look, person.look))


def marks(people: Sequence[Person]) -> Float[np.ndarray, "sighting 4"]:
    """Where everybody's number is drawn, see `Landmarks.people`."""
    rows = [
        (time_s, number, (one.box()[0] + one.box()[2]) / 2, one.box()[1])
        for number, person in enumerate(people, start=1)
        for time_s, one, _ in person.sightings
    ]
    return np.array(sorted(rows), dtype=np.float64).reshape(-1, 4)
