"""A user's mistake is one sentence on stderr and status 2; a bug keeps its traceback."""

import pytest
from omegaconf import OmegaConf

from d2m.core.errors import BadConfig, BadInput, require_settings, user_errors_exit


def test_user_error_is_one_sentence_and_status_2(capsys):
    with pytest.raises(SystemExit) as exit_info, user_errors_exit():
        raise BadInput("a.pkl: found 0 frames.")
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == "error: a.pkl: found 0 frames.\n"


def test_other_errors_pass_and_the_decorator_returns():
    with pytest.raises(ZeroDivisionError), user_errors_exit():
        raise ZeroDivisionError

    @user_errors_exit()
    def answer(of: int) -> int:
        return of + 1

    assert answer(of=41) == 42


def test_missing_settings_are_all_named_with_the_usage():
    config = OmegaConf.create({"generated": "???", "out": None, "reference": "here"})
    meanings = {"generated": "folder of wavs", "out": "where to write", "reference": "folder"}
    with pytest.raises(
        BadConfig, match=r"generated= \(folder of wavs\), out= \(where to write\); the command is: run me"
    ):
        require_settings(config, meanings, "run me")
    require_settings(config, {"reference": "folder"}, "run me")
