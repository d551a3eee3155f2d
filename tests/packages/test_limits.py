"""What the policy says about packages is what their room counts by."""

from __future__ import annotations

from dataclasses import asdict, fields

from controller.model.desired import Revision
from controller.model.limits import PackageLimits
from controller.packages.limits import Limits, limits_of
from tests.builders import deployment, revision

EVERY = {
    "unpackedSize": "1GiB", "members": 7, "ratio": 8, "ratioFrom": "2MiB", "textSize": "3MiB", "wheelSize": "2GiB",
    "wheelMetadataSize": "5MiB", "wheelDirectorySize": "6MiB", "proofTimeout": "9m", "buildTimeout": "1h",
}  # fmt: skip


def under(limits: dict[str, object], start: str = "30s") -> Revision:
    desired = revision(deployment(timeouts={"start": start}))
    policy = desired.policy.model_copy(update={"limits": PackageLimits.model_validate(limits)})
    return desired.model_copy(update={"policy": policy})


def test_every_limit_is_in_the_policy_and_has_its_default_there() -> None:
    assert limits_of(None) == limits_of(under({})) == Limits()
    found, usual = asdict(limits_of(under(EVERY))), asdict(Limits())
    assert [name for name in usual if found[name] == usual[name]] == []
    assert len(EVERY) == len(PackageLimits.model_fields) == len(fields(Limits))
    assert (found["total_bytes"], found["prove_timeout_s"], found["build_timeout_s"]) == (2**30, 540.0, 3600.0)


def test_a_proof_may_take_as_long_as_the_longest_start() -> None:
    assert limits_of(under({}, start="10m")).prove_timeout_s == 600.0
    assert limits_of(under({"proofTimeout": "20m"}, start="10m")).prove_timeout_s == 1200.0
