from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mdsvqa.difficulty.held_out import videos_to_learn_from
from mdsvqa.difficulty.settings import DifficultySettings
from mdsvqa.videos.roles import in_role, roles_of, with_split
from mdsvqa.videos.video import Video


def some(count: int, split: str, dataset: str, *, labeled: bool = True) -> list[Video]:
    mos = 3.0 if labeled else None
    return [Video(f"{dataset}-{split}-{i}", None, dataset, split, mos) for i in range(count)]


def test_test_videos_of_a_data_set_that_is_source_and_pool_teach_nothing() -> None:
    videos = [*some(50, "train", "one"), *some(50, "pool", "one", labeled=False), *some(40, "test", "one")]
    learned, sentence = videos_to_learn_from(videos, DifficultySettings())
    assert learned == in_role(videos, "source")
    assert "there are 0" in sentence
    assert in_role(videos, "target test") == videos[100:]
    assert in_role(videos, "source test") == []


def test_a_test_set_of_a_third_data_set_is_the_sources_everywhere() -> None:
    videos = [*some(50, "train", "old"), *some(9, "pool", "new", labeled=False), *some(40, "test", "third")]
    assert in_role(videos, "source test") == videos[59:]
    assert videos_to_learn_from(videos, DifficultySettings())[0] == videos[59:]


@given(
    st.lists(
        st.builds(
            Video,
            id=st.uuids().map(str),
            path=st.none(),
            dataset=st.sampled_from("abc"),
            split=st.sampled_from(["", "train", "test", "pool"]),
            mos=st.sampled_from([None, 3.0]),
        ),
        max_size=20,
    )
)
def test_roles_are_what_their_splits_and_labels_say(videos: list[Video]) -> None:
    targets = {v.dataset for v in videos if v.split == "pool" or (v.split == "" and v.mos is None)}
    for video, role in zip(videos, roles_of(videos), strict=True):
        split = with_split(video).split
        assert (role == "pool") == (split == "pool")
        assert (role == "source") == (split == "train" and video.mos is not None)
        assert (role == "target test") == (split == "test" and video.mos is not None and video.dataset in targets)
        assert (role == "") == (split in ("train", "test") and video.mos is None)
    # Saying what was left out changes nothing.
    assert roles_of([replace(video, split=with_split(video).split) for video in videos]) == roles_of(videos)
