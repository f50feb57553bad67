"""Vocabularies of moves of the ten genres."""

from d2m.data.synthetic.choreography import Move, Vocabulary, key

BREAK = Vocabulary(
    moves=(
        Move("front step", 2, (
            key(0, arms="cross", left=(-0.10, 0.26), dip=0.07, twist=-18, hunch=12, sway=-0.04),
            key(0.5, arms="side_low", dip=0.02),
            key(1, arms=("side", "side_low"), left=(0.17, 0.0), dip=0.0, twist=8, hunch=2, chest=8),
        ), (1.0, 2.0)),
        Move("kick step", 2, (
            key(0, "hit", arms=("run_back", "run_front"), left=(0.05, 0.52, 0.34), dip=0.05, hunch=14, lean=-6),
            key(0.5, left=(-0.06, 0.10), arms="ready", dip=0.08, lean=6),
            key(1, right=(0.20, -0.16), arms=("run_front", "run_back"), dip=0.04, hunch=6),
            key(1.5, right=(0.16, 0.0), left=(0.16, 0.0), dip=0.01),
        )),
        Move("indian step", 2, (
            key(0, left=(-0.12, 0.30), arms="cross", twist=-22, dip=0.08, hunch=15, look=-12),
            key(0.5, right=(0.19, -0.05), arms="side_low", twist=0),
            key(1, left=(0.17, 0.0), arms=("wing", "side_low"), twist=18, dip=0.02, chest=8, look=10),
            key(1.5, right=(0.16, 0.04), dip=0.05),
        )),
        Move("salsa rock", 1, (
            key(0, left=(0.02, 0.22), arms=("ready", "run_back"), sway=0.06, dip=0.06, twist=-12),
            key(0.5, left=(0.15, 0.0), arms=("run_back", "ready"), sway=-0.03, dip=0.01, twist=10),
        ), (1.0, 2.0)),
        Move("drop", 4, (
            key(0, "early", arms="side", dip=-0.01, chest=12, groove=0.2),
            key(1, "late", arms=("floor", "wing"), dip=0.43, lean=30, hunch=28, left=(0.18, 0.10, 0, 30, 40),
                right=(0.18, 0.05, 0, 30, 40), side=12),
            key(2, "hit", arms=("floor", "cocked"), right=(0.16, 0.56, 0.04, 5, -20), dip=0.42, twist=14),
            key(2.5, right=(0.18, 0.05, 0, 30, 40), arms=("floor", "guard")),
            key(3, "hit", arms=("cocked", "floor"), left=(0.16, 0.56, 0.04, 5, -20), dip=0.42, twist=-14, side=-12),
            key(3.5, "early", arms="ready", left=(0.17, 0.0), right=(0.17, 0.0), dip=0.15, lean=8, hunch=8, groove=0.6),
        )),
        Move("b-boy stance", 4, (
            key(0, "hit", arms="cross_high", left=(0.24, 0.08), right=(0.2, -0.06), lean=-8, hunch=-6, chest=14, cock=10, groove=0.15),
            key(2, "hit", arms="cross_high", look=30, cock=-12, twist=12, dip=0.03),
            key(3, "hit", arms=("point_front", "hip"), look=0, twist=-20, lean=4, dip=0.08),
            key(3.5, arms="ready", lean=4, twist=0, groove=1.0),
        )),
        Move("shuffle hop", 1, (
            key(0, "hit", left=(0.22, 0.04), right=(-0.02, 0.06, 0.12), arms=("side_low", "ready"), dip=0.09, sway=0.05, tilt=6),
            key(0.5, right=(0.16, 0.0), left=(0.16, 0.0), arms="ready", dip=0.0, tilt=0),
        )),
        Move("corkscrew", 4, (
            key(0, left=(-0.16, 0.16), arms="cross", dip=0.08, hunch=14, twist=-30),
            key(1, "late", left=(-0.10, 0.05, 0, 0, 25), arms=("cross", "side"), turn=-180, twist=10, right=(0.14, 0.0)),
            key(2, "late", right=(0.16, 0.0), left=(0.16, 0.0), arms="side_low", turn=-360, twist=0, dip=0.10),
            key(3, "hit", arms="ready", dip=0.04, chest=12, left=(0.2, 0.12)),
        )),
    ),
    groove=(key(0, nod=5), key(0.5, nod=-2)),
    bar_weights=(1.15, 0.6, 0.9, 0.6), ease="late", rest=("ready", "ready"), stance_m=0.16,
    posture={"hunch": 8, "lean": 5, "dip": 0.04}, off_beat=0.35,
)  # fmt: skip

POP = Vocabulary(
    moves=(
        Move("fresno", 2, (
            key(0, "whip", arms=("frame", "down"), left=(0.24, 0.02), sway=0.08, chest=18, tilt=5, look=25),
            key(0.4, "whip", chest=2),
            key(1, "whip", arms=("down", "frame"), left=(0.15, 0.0), right=(0.15, 0.02), sway=-0.06, chest=18, tilt=-5, look=-25),
            key(1.4, "whip", chest=2),
        ), (1.0, 0.5, 2.0)),
        Move("arm wave", 4, (
            key(0, "smooth", arms=("wave_a", "down"), look=40, groove=0.3, slide=0),
            key(0.5, "smooth", arms=("wave_b", "down")),
            key(1, "smooth", arms=("wave_c", "down"), slide=10),
            key(1.5, "smooth", arms=("side", "wave_c"), chest=14, slide=0, look=0),
            key(2, "smooth", arms=("side", "wave_b"), slide=-10, chest=0),
            key(2.5, "smooth", arms=("side_low", "wave_a"), look=-40),
            key(3, "whip", arms=("down", "side"), chest=16, look=-10),
            key(3.5, "whip", arms="down", chest=0, look=0),
        ), (1.0, 0.5)),
        Move("tick points", 2, (
            key(0, "whip", arms=("point_front", "hip"), twist=-15, chest=10, dip=0.03),
            key(0.5, "whip", arms=("point_side", "hip"), twist=12, look=30),
            key(1, "whip", arms=("goal", "hip"), twist=0, look=0, chest=16, dip=0.06),
            key(1.75, "whip", arms="down", dip=0.0),
        )),
        Move("robot", 4, (
            key(0, "whip", arms=("goal", "dangle"), left=(0.14, 0), right=(0.14, 0), look=0, twist=0, groove=0.5),
            key(1, "whip", arms=("dangle", "goal"), twist=-25, look=35),
            key(1.5, "whip", look=-20, twist=0),
            key(2, "whip", arms=("goal", "goal"), twist=25, lean=12, look=-35),
            key(3, "whip", arms=("dangle", "dangle"), twist=0, lean=0, look=0, dip=0.07, chest=10),
        ), (1.0, 0.5)),
        Move("neck and chest isolation", 4, (
            key(0, "hit", arms="down", slide=14, cock=-10, groove=0.3, left=(0.17, 0), right=(0.17, 0)),
            key(1, "hit", slide=-14, cock=10),
            key(1.5, "hit", slide=0, chest=20),
            key(2, "hit", chest=-15, hunch=12, nod=10),
            key(2.5, "hit", slide=14, chest=0, hunch=0, nod=0),
            key(3, "whip", arms="frame", chest=20, slide=0, cock=0),
            key(3.5, "whip", chest=0),
        )),
        Move("twist-o-flex", 4, (
            key(0, "late", look=-45, arms="down", groove=0.4),
            key(1, "late", look=-10, twist=-40, arms=("front_low", "behind"), left=(0.06, 0.18)),
            key(2, "late", twist=0, turn=-40, left=(0.15, 0), arms="frame"),
            key(3, "whip", turn=0, right=(0.16, 0), left=(0.16, 0), arms=("point_down", "point_down"), chest=18, dip=0.06),
            key(3.5, "whip", arms="down", chest=0, dip=0),
        )),
        Move("walk out", 2, (
            key(0, "late", left=(0.1, 0.22), right=(0.12, -0.12, 0, 10, 35), arms=("goal", "down"), twist=-20, shift=0.06, chest=12),
            key(1, "whip", right=(0.13, 0.0), left=(0.13, 0.0), arms=("down", "goal"), twist=20, shift=0, chest=16, dip=0.04),
            key(1.5, "whip", chest=0, dip=0),
        ), (1.0, 2.0)),
    ),
    groove=(key(0, "whip", chest=9), key(0.3, "whip", chest=0)),
    bar_weights=(0.5, 1.3, 0.6, 1.2), ease="whip", rest=("down", "down"), stance_m=0.14,
    posture={"chest": -2}, off_beat=0.45,
)  # fmt: skip

LOCK = Vocabulary(
    moves=(
        Move("point", 2, (
            key(0, "hit", arms=("point_up", "lock"), look=35, twist=22, left=(0.26, 0.05), sway=0.06, tilt=5),
            key(1, "hit", arms="lock", look=0, twist=0, left=(0.16, 0), dip=0.08, hunch=14, sway=0, tilt=0),
        ), (1.0, 0.5)),
        Move("lock", 2, (
            key(0, "hit", arms="up", dip=-0.02, chest=12, hunch=-6, nod=-12),
            key(0.5, "hit", arms="lock", dip=0.10, hunch=22, chest=-8, nod=14),
            key(1.5, "hit", arms=("lock", "lock"), dip=0.05, hunch=14),
        )),
        Move("wrist rolls", 4, (
            key(0, "smooth", arms="roll_in", dip=0.02, side=8, left=(0.18, 0.02)),
            key(0.5, "smooth", arms="roll_out", side=-4),
            key(1, "smooth", arms="roll_in", side=-8),
            key(1.5, "smooth", arms="roll_out", side=4),
            key(2, "hit", arms=("high_v", "high_v"), chest=12, dip=-0.02, nod=-12),
            key(3, "hit", arms="lock", dip=0.11, hunch=22, chest=-6, nod=12),
        ), (1.0, 0.5)),
        Move("uncle sam", 4, (
            key(0, "hit", arms=("hip", "cocked"), twist=25, look=-10),
            key(1, "hit", arms=("hip", "point_front"), twist=-25, lean=14, right=(0.14, 0.24)),
            key(1.5, "hit", arms=("hip", "pump"), lean=8), key(2, "hit", arms=("hip", "point_front"), lean=14),
            key(3, "hit", arms="lock", twist=0, lean=0, right=(0.16, 0), dip=0.1, hunch=20),
        )),
        Move("scooby kick", 4, (
            key(0, "hit", left=(0.06, 0.55, 0.42, 0, 20), arms=("run_back", "run_front"), lean=-8, hunch=12),
            key(1, "hit", left=(0.20, 0.0), arms="side_low", dip=0.08, lean=4),
            key(2, "hit", right=(-0.10, 0.12), arms=("point_side", "cross"), sway=0.08, look=40, side=-10),
            key(3, "hit", right=(0.16, 0.0), arms="lock", look=0, dip=0.1, hunch=18, sway=0, side=0),
        )),
        Move("leo walk", 2, (
            key(0, left=(0.12, 0.26), arms=("run_back", "point_front"), lean=-6, chest=12, go_z=0.08),
            key(0.5, dip=0.05), key(1, right=(0.14, 0.04), left=(0.14, 0.0), arms=("pump", "run_back"), hunch=12, go_z=0.0, chest=0),
        ), (1.0, 2.0)),
        Move("pacing", 1, (
            key(0, "hit", arms=("jab", "pump"), twist=-20, left=(0.14, 0.08), dip=0.05),
            key(0.5, "hit", arms=("pump", "pump"), twist=0, left=(0.15, 0.0), dip=0.0),
        ), (1.0, 2.0)),
        Move("knee drop", 4, (
            key(0, "hit", arms="high_v", dip=-0.02, chest=10, groove=0.3),
            key(1, "late", dip=0.40, left=(0.12, -0.08, 0, 12, 60), right=(0.18, 0.14, 0, 20, 10), arms="lock", hunch=22),
            key(2, "hit", arms=("point_up", "lock"), look=30, hunch=8),
            key(3, "late", dip=0.02, left=(0.16, 0), right=(0.16, 0), arms="pump", hunch=8, look=0),
        )),
    ),
    groove=(key(0, nod=5), key(0.5, nod=-4)),
    bar_weights=(1.2, 0.6, 1.0, 0.6), ease="hit", rest=("pump", "pump"), stance_m=0.16,
    posture={"hunch": 6, "dip": 0.03}, off_beat=0.3,
)  # fmt: skip

MIDDLE_HIP_HOP = Vocabulary(
    moves=(
        Move("running man", 1, (
            key(0, left=(0.1, 0.16), right=(0.1, -0.22, 0, 5, 20), arms=("run_back", "run_front"), hunch=10, dip=0.06),
            key(0.5, right=(0.08, 0.16, 0.24), left=(0.1, -0.04), arms="ready", dip=0.0),
        ), (1.0, 2.0)),
        Move("two step bounce", 2, (
            key(0, left=(0.26, 0), sway=0.08, arms=("side_low", "ready"), tilt=5, side=-8),
            key(0.5, right=(0.02, 0.02)), key(1, right=(0.26, 0), sway=-0.08, arms=("ready", "side_low"), tilt=-5, side=8),
            key(1.5, left=(0.02, 0.02)),
        ), (1.0, 2.0)),
        Move("roger rabbit", 2, (
            key(0, left=(0.02, -0.20), arms="wing", chest=12, twist=15, lean=-6, dip=0.06),
            key(0.5, right=(0.12, 0.22, 0.18), arms="ready", chest=-6),
            key(1, right=(0.14, 0.04), left=(0.14, 0.0), arms="ready", twist=-10, dip=0.06, lean=6),
            key(1.5, arms="side_low", chest=8),
        )),
        Move("steve martin", 4, (
            key(0, "late", left=(0.30, 0.05), arms=("point_side", "chest"), sway=0.12, tilt=8, look=35),
            key(1, "late", right=(-0.06, 0.0), arms=("chest", "chest"), sway=0.02, tilt=0, look=0, dip=0.08),
            key(2, "late", right=(0.30, 0.05), left=(0.1, 0.0), arms=("chest", "point_side"), sway=-0.10, tilt=-8, look=-35),
            key(3, "hit", left=(0.15, 0.0), right=(0.15, 0.0), arms="ready", sway=0, tilt=0, look=0, dip=0.10, hunch=14),
        ), (1.0, 0.5)),
        Move("smurf", 2, (
            key(0, arms=("front_low", "behind"), side=14, sway=0.07, twist=-18, left=(0.2, 0.02)),
            key(1, arms=("behind", "front_low"), side=-14, sway=-0.07, twist=18, right=(0.2, 0.02)),
        ), (1.0, 0.5)),
        Move("cabbage patch", 4, (
            key(0, "smooth", arms="front_low", twist=-22, sway=-0.05, hunch=14), key(1, "smooth", arms="pump", twist=0, lean=-6, hunch=0, chest=8),
            key(2, "smooth", arms="front_low", twist=22, sway=0.05, hunch=14, lean=4), key(3, "smooth", arms="chest", twist=0, hunch=2, chest=10, sway=0),
        ), (1.0, 0.5)),
        Move("party machine", 2, (
            key(0, left=(0.14, 0.10, 0.26), arms=("pump", "run_front"), hunch=12, dip=0.03, tilt=-4),
            key(0.5, left=(0.15, 0.0), arms="ready", dip=0.08), key(1, "hit", arms=("jab", "pump"), twist=-18, chest=8),
            key(1.5, "hit", arms=("pump", "jab"), twist=18),
        )),
    ),
    groove=(key(0, nod=7, hunch=4), key(0.5, nod=-3, hunch=0)),
    bar_weights=(1.2, 0.85, 1.0, 0.75), ease="smooth", rest=("ready", "ready"), stance_m=0.16,
    posture={"hunch": 9, "dip": 0.05, "lean": 3}, off_beat=0.25,
)  # fmt: skip

LA_HIP_HOP = Vocabulary(
    moves=(
        Move("chest groove", 2, (
            key(0, "hit", arms=("chest", "side_low"), chest=20, twist=-12, left=(0.22, 0.04)),
            key(0.75, "hit", chest=-14, hunch=16, arms=("front_low", "loose")),
            key(1.5, "hit", chest=14, hunch=2, twist=10, arms="loose", left=(0.16, 0)),
        )),
        Move("swag walk", 4, (
            key(0, "smooth", left=(0.12, 0.26), arms=("run_back", "run_front"), go_z=0.12, twist=-12, tilt=5),
            key(1, "smooth", right=(0.12, 0.26), arms=("run_front", "run_back"), go_z=0.3, twist=12, tilt=-5),
            key(2, "hit", left=(0.28, 0.0), arms=("brow", "side_low"), go_z=0.2, sway=0.08, look=20, tilt=6),
            key(2.5, "hit", arms=("brow", "hip"), look=-20), key(3, "late", right=(0.16, 0.0), left=(0.16, 0.0), arms="loose", go_z=0.0, look=0, sway=0),
        ), (1.0, 0.5)),
        Move("body roll", 4, (
            key(0, "smooth", nod=-18, chest=14, lean=-6, arms="side_low", groove=0.2), key(1, "smooth", nod=10, chest=22, hunch=-10, dip=0.04),
            key(2, "smooth", chest=-14, hunch=22, dip=0.10, shift=-0.06), key(2.75, "hit", chest=18, hunch=0, dip=0.02, shift=0.05, arms="slick", nod=0),
            key(3.5, "late", arms="loose", chest=0, shift=0),
        ), (1.0, 0.5)),
        Move("hit and brush", 2, (
            key(0, "whip", arms=("fold", "front"), twist=22, dip=0.06, lean=8), key(0.5, "whip", arms=("fold", "chest"), twist=6),
            key(0.75, "whip", arms=("point_down", "chest"), twist=-18, dip=0.10), key(1.5, "late", arms="loose", twist=0, dip=0.02),
        )),
        Move("lean back", 2, (
            key(0, "late", lean=-16, twist=15, arms=("hip", "pump"), left=(0.24, 0.12), right=(0.16, -0.08), shift=-0.06, cock=10),
            key(1, "late", lean=10, twist=-10, arms=("hip", "front_low"), shift=0.06, cock=-6),
        ), (1.0, 2.0)),
        Move("arm swing slide", 4, (
            key(0, "late", left=(0.34, 0.0), arms=("side", "cross"), sway=0.14, dip=0.10, side=-12), key(1, "smooth", right=(0.06, 0.0), arms=("high_v", "side"), dip=0.02),
            key(2, "late", right=(0.34, 0.0), arms=("cross", "side"), sway=-0.14, dip=0.12, side=12), key(3, "hit", left=(0.16, 0.0), right=(0.16, 0.0), arms="slick", chest=16, sway=0, side=0, dip=0.03),
        )),
        Move("shoulder bounce", 1, (
            key(0, "hit", arms=("pump", "loose"), tilt=6, side=10, twist=-8), key(0.5, "hit", arms=("loose", "pump"), tilt=-3, side=-8, twist=8),
        ), (1.0, 2.0)),
    ),
    groove=(key(0, chest=4, side=4), key(0.75, chest=-4), key(1, chest=4, side=-4), key(1.75, chest=-4)),
    bar_weights=(1.1, 0.9, 1.1, 1.1), ease="hit", rest=("loose", "loose"), stance_m=0.17,
    posture={"hunch": 5, "dip": 0.05, "cock": 3}, off_beat=0.4, groove_beats=2,
)  # fmt: skip

KRUMP = Vocabulary(
    moves=(
        Move("stomp", 2, (
            key(-0.5, "late", left=(0.14, 0.14, 0.28), arms=("cocked", "stomp"), lean=-6),
            key(0, "whip", left=(0.26, 0.12), arms=("stomp", "cocked"), dip=0.14, lean=18, hunch=20, nod=10),
            key(0.5, right=(0.16, 0.1, 0.26), dip=0.06, lean=4), key(1, "whip", right=(0.26, 0.12), arms=("cocked", "stomp"), dip=0.14, lean=18, nod=10),
            key(1.5, left=(0.18, 0.0), right=(0.18, 0.0), dip=0.05, lean=4),
        )),
        Move("jab", 1, (
            key(0, "whip", arms=("jab", "cocked"), twist=-28, lean=12, chest=8, left=(0.2, 0.16)), key(0.5, "late", arms="guard", twist=8, lean=4, left=(0.18, 0.0)),
        ), (1.0, 2.0, 0.5)),
        Move("chest pop", 2, (
            key(0, "whip", chest=24, lean=-8, arms="wing", nod=-14, dip=0.02), key(0.5, "late", chest=-16, hunch=26, arms="front_low", dip=0.12, nod=12),
            key(1.5, "whip", chest=24, hunch=4, arms="wing", dip=0.04, nod=-10),
        )),
        Move("arm swing", 2, (
            key(0, "whip", arms=("throw", "stomp"), twist=24, lean=-4, chest=14), key(0.75, "hit", arms=("point_down", "stomp"), twist=-26, lean=24, hunch=22, dip=0.14, left=(0.22, 0.2)),
            key(1.5, "late", arms="guard", twist=0, lean=6, left=(0.18, 0.0), dip=0.06),
        )),
        Move("get off", 4, (
            key(0, "whip", arms="throw", chest=22, lean=-12, dip=0.0, nod=-20), key(1, "whip", arms="stomp", lean=26, hunch=28, dip=0.20, left=(0.3, 0.1), right=(0.26, 0.0), nod=14),
            key(1.5, "whip", arms=("hook", "stomp"), twist=-25), key(2, "whip", arms=("stomp", "hook"), twist=25), key(2.5, "whip", arms=("hook", "stomp"), twist=-25),
            key(3, "whip", arms="wing", chest=24, lean=-6, hunch=0, dip=0.06, twist=0, left=(0.2, 0), right=(0.2, 0)),
        )),
        Move("buck", 4, (
            key(0, "hit", arms="guard", dip=0.16, hunch=24, lean=16, left=(0.24, 0.1)), key(1.5, "whip", arms="cocked", chest=20, dip=0.03, lean=-4, hunch=4),
            key(2, "whip", arms=("jab", "guard"), dip=0.14, twist=-28, lean=14, hunch=16, right=(0.24, 0.1)), key(3, "whip", arms=("guard", "jab"), twist=28, dip=0.15),
            key(3.5, "late", arms="guard", twist=0, dip=0.06, left=(0.18, 0), right=(0.18, 0)),
        )),
        Move("kick stomp", 2, (
            key(0, "whip", left=(0.1, 0.5, 0.4, 0, 0), arms=("cocked", "jab"), lean=-10, chest=10), key(0.75, "whip", left=(0.26, 0.14), arms="stomp", dip=0.17, lean=20, hunch=22, nod=10),
            key(1.5, "late", left=(0.18, 0.0), arms="guard", dip=0.05, lean=6),
        )),
    ),
    groove=(key(0, "whip", chest=10, hunch=-4), key(0.25, "hit", chest=0), key(0.75, "late", chest=-7, hunch=6)),
    bar_weights=(1.3, 0.5, 1.1, 0.7), ease="whip", rest=("guard", "guard"), stance_m=0.19,
    posture={"hunch": 14, "lean": 8, "dip": 0.08}, off_beat=0.5,
)  # fmt: skip


HOUSE = Vocabulary(
    moves=(
        Move("jack", 1, (
            key(0, "smooth", arms=("ready", "ready"), chest=14, lean=-5, shift=0.03), key(0.5, "smooth", arms="pump", chest=-14, lean=8, hunch=14, shift=-0.03),
        ), (1.0, 2.0)),
        Move("shuffle", 2, (
            key(0, left=(0.04, 0.16), arms=("run_back", "run_front"), twist=-10), key(0.5, left=(0.15, -0.08), right=(0.04, 0.14), twist=6),
            key(1, right=(0.15, 0.0), left=(0.2, 0.06), arms=("run_front", "run_back"), twist=10), key(1.5, left=(0.12, 0.0), right=(0.16, -0.06)),
        )),
        Move("pas de bourree", 2, (
            key(0, left=(-0.14, -0.14), arms=("side_low", "cross"), sway=-0.04, twist=14), key(0.5, right=(0.22, 0.0), arms="side_low"),
            key(1, left=(0.16, 0.06), arms=("cross", "side_low"), sway=0.04, twist=-14), key(1.5, right=(0.14, 0.02), arms="ready"),
        ), (1.0, 2.0)),
        Move("farmer", 2, (
            key(0, left=(0.22, 0.26, 0.12), arms=("side_low", "ready"), tilt=-6, lean=-4), key(0.5, left=(0.0, -0.04)),
            key(1, right=(0.22, 0.26, 0.12), arms=("ready", "side_low"), tilt=6), key(1.5, right=(0.0, -0.04), lean=4),
        )),
        Move("skate", 4, (
            key(0, "smooth", left=(0.30, 0.08), right=(0.06, -0.16, 0.10), arms=("run_back", "cross"), sway=0.12, tilt=8, hunch=14), key(0.5, right=(0.0, -0.12)),
            key(1, "smooth", arms="side_low", dip=0.09), key(2, "smooth", right=(0.30, 0.08), left=(0.06, -0.16, 0.10), arms=("cross", "run_back"), sway=-0.12, tilt=-8),
            key(2.5, left=(0.0, -0.12)), key(3, "smooth", arms="side_low", left=(0.14, 0.0), right=(0.14, 0.0), sway=0, tilt=0, hunch=6),
        ), (1.0, 0.5)),
        Move("train", 2, (
            key(0, left=(0.10, 0.24), arms=("pump", "run_back"), lean=8, go_z=0.08), key(0.5, right=(0.10, -0.04, 0, 5, 30), arms="pump", dip=0.05),
            key(1, left=(0.10, -0.18), arms=("run_back", "pump"), lean=-4, go_z=-0.02), key(1.5, right=(0.12, 0.0), left=(0.12, 0.0)),
        )),
        Move("loose legs", 4, (
            key(0, left=(-0.12, 0.10), arms="side_low", twist=-14), key(0.5, left=(0.24, 0.04), arms="ready"), key(1, right=(-0.12, 0.10), arms="side_low", twist=14),
            key(1.5, right=(0.24, 0.04), arms="ready"), key(2, left=(0.12, 0.30, 0.10), arms=("run_back", "run_front"), dip=0.10), key(2.5, left=(0.1, 0.0)),
            key(3, right=(0.12, 0.30, 0.10), arms=("run_front", "run_back"), dip=0.10), key(3.5, right=(0.12, 0.0), left=(0.14, 0.0), dip=0.02),
        )),
        Move("stomp turn", 4, (
            key(0, "late", left=(0.1, 0.22), arms="wing", twist=-20), key(1, "late", turn=180, right=(0.15, 0.0), left=(0.13, 0.0), arms="chest", twist=0),
            key(2, "late", turn=360, left=(0.15, 0.0), right=(0.13, 0.0), arms="side_low"), key(2.5, dip=0.08), key(3, right=(0.2, 0.08), arms="ready", dip=0.04), key(3.5, right=(0.14, 0)),
        )),
    ),
    groove=(key(0, chest=-4, lean=2), key(0.5, chest=4, lean=-1)),
    bar_weights=(1.1, 0.9, 1.0, 0.9), ease="late", rest=("ready", "ready"), stance_m=0.13,
    posture={"hunch": 6, "dip": 0.06, "lean": 4}, off_beat=0.2,
)  # fmt: skip

WAACK = Vocabulary(
    moves=(
        Move("overhead whack", 1, (
            key(0, "hit", arms=("side", "hip"), twist=-6, chest=10, look=20), key(0.5, "smooth", arms=("throw", "hip"), twist=6, chest=2),
        ), (1.0, 0.5)),
        Move("double whack", 2, (
            key(0, "hit", arms="side", chest=14, left=(0.22, 0.02), sway=0.05), key(0.5, arms="ear"), key(1, "hit", arms="point_down", hunch=8, left=(0.15, 0.0), sway=-0.02), key(1.5, arms="throw"),
        ), (1.0, 0.5, 2.0)),
        Move("arm circle", 2, (
            key(0, "smooth", arms=("up", "hip"), side=-12, sway=0.06), key(0.5, "smooth", arms=("side", "hip")), key(1, "smooth", arms=("down", "hip"), side=8, sway=-0.05),
            key(1.5, "smooth", arms=("cross", "hip"), side=0),
        ), (1.0, 0.5)),
        Move("pose", 4, (
            key(0, "whip", arms=("up", "hip"), left=(0.06, 0.2, 0, 10, 35), sway=-0.10, tilt=8, side=-14, look=35, cock=8, groove=0.1),
            key(2, "whip", arms=("hip", "brow"), sway=0.10, tilt=-8, side=14, look=-30, left=(0.18, 0.0)),
            key(3, "late", arms="throw", side=0, tilt=0, sway=0, look=0, groove=0.8), key(3.5, "hit", arms="side", chest=14),
        )),
        Move("twirl", 4, (
            key(0, "smooth", arms=("roll_in", "roll_in"), look=-20, left=(-0.08, 0.16)), key(0.5, "smooth", arms=("roll_out", "roll_out")),
            key(1, "late", arms=("ear", "ear"), turn=-180, right=(0.13, 0.0), left=(0.13, 0.0)), key(2, "late", arms="high_v", turn=-360, left=(0.15, 0.0), right=(0.15, 0.0), chest=14, look=0),
            key(3, "hit", arms=("side", "point_down"), sway=0.07, tilt=-6), key(3.5, arms=("throw", "hip"), sway=0, tilt=0),
        )),
        Move("walk and punish", 2, (
            key(0, "late", left=(0.02, 0.28), arms=("ear", "behind"), twist=18, go_z=0.08, chest=8), key(0.5, "hit", arms=("point_side", "behind"), twist=-8),
            key(1, "late", right=(0.02, 0.24), arms=("behind", "ear"), twist=-18, go_z=0.12), key(1.5, "hit", arms=("behind", "point_side"), twist=8, left=(0.12, 0.0), go_z=0.0),
        ), (1.0, 2.0)),
        Move("groucho dip", 4, (
            key(0, "late", arms="ear", dip=0.02, left=(0.20, 0.0)), key(1, "hit", arms=("side", "side"), dip=0.16, left=(0.3, 0.08), lean=8), key(1.5, arms="throw"),
            key(2, "hit", arms=("cross", "cross"), dip=0.2, hunch=16), key(2.5, arms="ear", dip=0.08, hunch=4), key(3, "hit", arms=("up", "up"), dip=-0.02, left=(0.15, 0.0), chest=16, nod=-14),
        )),
    ),
    groove=(key(0, sway=0.05, tilt=-4), key(1, sway=-0.05, tilt=4)),
    bar_weights=(1.1, 1.1, 0.8, 0.9), ease="late", rest=("hip", "throw"), stance_m=0.14,
    posture={"chest": 6, "lean": -2}, off_beat=0.35, groove_beats=2,
)  # fmt: skip

STREET_JAZZ = Vocabulary(
    moves=(
        Move("hip line", 2, (
            key(0, "hit", arms=("hip", "side"), sway=0.12, tilt=-9, side=12, left=(0.2, 0.02), right=(0.06, 0.1, 0, 10, 40)),
            key(1, "smooth", arms=("high_v", "hip"), sway=-0.10, tilt=8, side=-14, right=(0.15, 0.0), look=20), key(1.5, sway=0.02, tilt=0),
        ), (1.0, 2.0)),
        Move("step touch turn", 4, (
            key(0, "late", left=(0.28, 0.0), arms=("side", "chest"), sway=0.08), key(1, "late", turn=180, right=(0.13, 0.0), arms="chest"),
            key(2, "late", turn=360, left=(0.14, 0.0), right=(0.14, 0.0), arms=("arabesque", "side")), key(2.75, "hit", arms="fold", dip=0.08, chest=14),
            key(3.5, "smooth", arms="second", dip=0.0),
        )),
        Move("jazz square", 4, (
            key(0, "smooth", left=(-0.12, 0.22), arms=("side", "first"), twist=-14, dip=0.04), key(1, "smooth", right=(0.12, -0.18), arms="first", twist=6, dip=0.0),
            key(2, "smooth", left=(0.26, -0.08), arms=("second", "side"), twist=12, sway=0.06), key(3, "smooth", right=(0.14, 0.02), left=(0.14, 0.0), arms=("hip", "hip"), twist=0, sway=0, chest=8),
        ), (1.0, 0.5)),
        Move("reach and pull", 4, (
            key(0, "smooth", arms=("reach", "hip"), side=-18, look=30, left=(0.24, 0.06), nod=-12, sway=0.06), key(1.5, "hit", arms=("chest", "hip"), side=6, dip=0.09, hunch=14, nod=8, sway=-0.03),
            key(2, "smooth", arms=("chest", "reach"), side=16, look=-30), key(3, "hit", arms=("slick", "slick"), side=0, look=0, dip=0.04, hunch=0, chest=14, left=(0.15, 0)),
        )),
        Move("hip roll", 2, (
            key(0, "smooth", sway=0.11, tilt=-7, arms="hip", dip=0.06), key(0.5, "smooth", shift=0.09, sway=0.0, tilt=0, dip=0.08), key(1, "smooth", sway=-0.11, tilt=7, shift=0), key(1.5, "smooth", shift=-0.09, sway=0, tilt=0, lean=8),
        ), (1.0, 2.0)),
        Move("ball change kick", 4, (
            key(0, "hit", left=(0.04, 0.56, 0.72, 0, 25), arms=("side", "arabesque"), lean=-9, groove=0.2), key(1, "late", left=(0.12, -0.1), arms="second", lean=4, dip=0.06),
            key(1.5, right=(0.13, 0.05)), key(2, "hit", left=(0.28, 0.06), arms=("fold", "point_down"), twist=-20, sway=0.08, dip=0.08),
            key(3, "smooth", left=(0.14, 0.0), arms=("hip", "high_v"), twist=0, sway=0, dip=0.0),
        )),
        Move("snake", 2, (
            key(0, "smooth", side=16, slide=12, cock=14, arms=("side_low", "brow"), dip=0.02), key(1, "smooth", side=-16, slide=-12, cock=-14, arms=("brow", "side_low"), dip=0.08),
        ), (1.0, 2.0)),
    ),
    groove=(key(0, sway=0.03), key(1, sway=-0.03)),
    bar_weights=(1.1, 0.8, 1.0, 0.8), ease="late", rest=("second", "hip"), stance_m=0.13,
    posture={"chest": 6, "lean": -1}, off_beat=0.35, groove_beats=2,
)  # fmt: skip

BALLET_JAZZ = Vocabulary(
    moves=(
        Move("pirouette", 4, (
            key(0, "smooth", arms=("first", "second"), left=(0.1, 0.06), right=(0.06, -0.22), dip=0.13, groove=0), key(1, "early", arms="first", right=(-0.02, 0.12, 0.34, 30, 50), dip=-0.035, turn=-40, left=(0.02, 0.0, 0, 10, 38)),
            key(2, "smooth", turn=-280, arms="first"), key(3, "smooth", turn=-360, right=(0.12, -0.12), left=(0.1, 0.06, 0, 10, 0), arms=("second", "arabesque"), dip=0.10),
            key(3.5, dip=0.02, right=(0.12, 0.0), groove=0.7),
        )),
        Move("grand battement", 4, (
            key(0, "smooth", right=(0.1, -0.22), arms=("second", "second"), dip=0.03), key(1, "late", right=(0.02, 0.56, 0.98, 5, 40), arms=("fifth", "second"), lean=-8, dip=-0.02, groove=0.1),
            key(2, "smooth", right=(0.1, -0.22), arms="second", lean=4, dip=0.06), key(3, "smooth", right=(0.12, 0.0), arms="first", dip=0.02, lean=0),
        )),
        Move("chasse line", 2, (
            key(0, "smooth", left=(0.30, 0.08), arms=("arabesque", "trail"), sway=0.10, dip=0.08, twist=-14), key(0.6, right=(0.04, 0.0), dip=-0.02, arms="first"),
            key(1, "smooth", left=(0.26, 0.10), arms=("side", "fifth"), dip=0.06), key(1.6, left=(0.12, 0.0), right=(0.12, 0.0), dip=0.0, sway=0, twist=0),
        ), (1.0, 2.0)),
        Move("port de bras", 4, (
            key(0, "smooth", arms="first", hunch=8, dip=0.06, nod=10), key(1, "smooth", arms="fifth", hunch=-8, dip=-0.03, nod=-14, chest=10, left=(0.1, 0.0, 0, 12, 28), right=(0.1, 0.0, 0, 12, 28)),
            key(2, "smooth", arms=("side", "fifth"), side=-18, look=25, dip=0.0, left=(0.1, 0.0), right=(0.1, 0.0)), key(3, "smooth", arms="second", side=0, look=0, dip=0.05, hunch=0, nod=0),
        ), (1.0, 0.5)),
        Move("side lunge", 4, (
            key(0, "late", left=(0.44, 0.04), arms=("point_side", "trail"), sway=0.14, dip=0.17, side=-8, look=40, groove=0.2), key(1.6, "smooth", arms=("reach", "second"), side=12, look=0),
            key(2, "late", arms=("first", "high_v"), twist=-20, dip=0.12), key(3, "smooth", left=(0.13, 0.0), arms="second", sway=0, dip=0.0, twist=0, side=0),
        )),
        Move("arabesque", 4, (
            key(0, "smooth", left=(0.06, 0.12), arms="first", dip=0.06), key(1, "smooth", right=(0.04, -0.58, 0.5, 0, 50), arms=("arabesque", "trail"), lean=22, chest=18, dip=0.0, groove=0),
            key(2.6, "smooth", right=(0.04, -0.56, 0.55, 0, 50), arms=("reach", "side")), key(3, "late", right=(0.1, 0.0), left=(0.1, 0.0), lean=0, chest=4, arms="second", dip=0.07, groove=0.6),
        )),
        Move("kick ball change", 2, (
            key(0, "hit", left=(0.04, 0.55, 0.55, 0, 40), arms=("trail", "arabesque"), lean=-6), key(0.6, left=(0.1, -0.12), arms="second", lean=2), key(1, right=(0.14, 0.06), arms=("high_v", "second"), dip=0.05),
            key(1.6, left=(0.12, 0.0), right=(0.12, 0.0), arms="second"),
        ), (1.0, 2.0)),
        Move("soutenu", 4, (
            key(0, "smooth", left=(0.24, 0.02), arms="second", dip=0.07), key(1, "late", turn=-180, right=(0.08, 0.0, 0, 5, 35), left=(0.08, 0.0, 0, 5, 35), arms="fifth", dip=-0.03),
            key(2, "late", turn=-360, left=(0.08, 0.0, 0, 5, 35), right=(0.08, 0.02, 0, 5, 35), arms="fifth"), key(3, "smooth", arms=("second", "arabesque"), dip=0.07, left=(0.12, 0.0), right=(0.12, 0.0)),
        )),
    ),
    groove=(key(0, chest=3), key(0.6, chest=0)),
    bar_weights=(1.2, 0.8, 0.9, 0.8), ease="smooth", rest=("second", "second"), stance_m=0.11,
    posture={"chest": 5, "hunch": -3, "dip": 0.0}, off_beat=0.25, groove_beats=2,
)  # fmt: skip
