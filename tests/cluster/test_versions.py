"""Versions are read strictly when typed and tolerantly when reported."""

import pytest

from cluster.errors import InvalidVersion
from cluster.versions import KubeVersion, Minor, PackageVersion, Relative, ReportedVersion, parse_target


@pytest.mark.parametrize(("text", "shown"), [("v1.35.4", "v1.35.4"), ("1.35.4", "v1.35.4"), ("v1.9.10", "v1.9.10")])
def test_a_release_is_read_with_or_without_its_v(text, shown):
    """Both forms that people type give one value."""
    assert str(KubeVersion.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "banana",
        "",
        "v1",
        "v1.35",
        "1.35.4.1",
        "v1.35.4-rc.1",
        "1!1.31.2",
        "1.31.2.post1",
        "v01.2.3",
        "٣.1.2",
        "v1.35.4\n",
        "vv1.2.3",
    ],
)
def test_anything_looser_than_a_release_is_refused(text):
    """packaging would read several of these; we do not."""
    with pytest.raises(InvalidVersion):
        KubeVersion.parse(text)


def test_releases_order_by_number_not_by_letter():
    """v1.35.10 is newer than v1.35.9."""
    versions = [KubeVersion.parse(t) for t in ("v1.35.10", "v1.35.9", "v1.4.0")]
    assert [str(v) for v in sorted(versions)] == ["v1.4.0", "v1.35.9", "v1.35.10"]
    assert KubeVersion.parse("v1.36.0").minors_ahead_of(KubeVersion.parse("v1.34.9")) == 2


@pytest.mark.parametrize(
    ("text", "version", "suffix"),
    [
        ("v1.34.7", "v1.34.7", ""),
        ("v1.30.2-eks-1a2b3c", "v1.30.2", "-eks-1a2b3c"),
        ("v1.31.1+k3s1", "v1.31.1", "+k3s1"),
        ("v1.36.0-rc.1", "v1.36.0", "-rc.1"),
        ("1.34.7_vendor.1", "v1.34.7", "_vendor.1"),
    ],
)
def test_a_reported_version_keeps_its_suffix(text, version, suffix):
    """Vendors' and pre-release suffixes are shown, and do not stop the reading."""
    reported = ReportedVersion.parse(text)
    assert (str(reported.version), reported.suffix) == (version, suffix)


def test_a_package_version_is_exact():
    """The revision is kept as offered, and a version without one is refused."""
    assert str(PackageVersion.parse("1.35.4-1.1")) == "1.35.4-1.1"
    with pytest.raises(InvalidVersion):
        PackageVersion.parse("1.35.4")


def test_a_target_is_a_release_a_minor_or_a_word_for_one():
    """`v1.35` asks for the newest patch of that minor; the words are read in any case."""
    assert parse_target("v1.35") == Minor(1, 35)
    assert parse_target("1.35.4") == KubeVersion.parse("v1.35.4")
    assert [parse_target(word) for word in ("latest-patch", "Next")] == [Relative.LATEST_PATCH, Relative.NEXT]
    with pytest.raises(InvalidVersion, match="`banana` is not a version"):
        parse_target("banana")


def test_an_error_repeats_only_a_clean_start_of_what_was_typed():
    """A typed word may hold anything; the answer stays one tame line."""
    with pytest.raises(InvalidVersion) as caught:
        parse_target("`<!channel>\n" + "x" * 500)
    assert len(str(caught.value)) < 150
    assert "\n" not in str(caught.value)
