"""What inputs leave out is no difference."""

from __future__ import annotations

from socle.incus.kinds import find_differences


def test_a_size_left_out_is_no_difference() -> None:
    state = {"config": {"a": "1"}, "size": "67108864"}
    assert find_differences(state, {"config": {"a": "1"}}, ("config", "size")) == []
    assert find_differences(state, {"config": {"a": "1"}, "size": "1"}, ("config", "size")) == ["size"]
    assert find_differences({"config": {}}, {"config": {"a": "1"}}, ("config", "size")) == ["config"]
