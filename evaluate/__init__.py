"""Judging a dance and its music: pure metrics in seconds, floors, ceilings and intervals.

`beats`, `tempo`, `onsets`, `alignment`, `protocols` and `sound_distance` are pure functions; `trackers` and `motion`
turn files into event times; `pairs` matches files by name; `baselines`, `bootstrap`, `summary` and `scores` put it all
into one `Scores`. Nothing here is imported by `d2m`.
"""
