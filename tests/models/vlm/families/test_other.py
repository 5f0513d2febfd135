"""Classes that no family here knows, of which transformers loads thirty: replies by their own processor."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from typer.testing import CliRunner

from mdsvqa.cli.app import app
from mdsvqa.models.base import ModelError
from mdsvqa.models.settings import VlmFinetuning, VlmSettings
from mdsvqa.models.training.adapter_trainer import AdapterTrainer
from mdsvqa.models.training.processes import Processes
from mdsvqa.models.transformers_vision import AutoProcessor, transformers
from mdsvqa.models.vlm import prompts
from mdsvqa.models.vlm.checkpoint import load_checkpoint
from mdsvqa.models.vlm.clips import ModelClip, resize_clip
from mdsvqa.models.vlm.families.catalogue import family_of
from mdsvqa.models.vlm.inspection import inspect_checkpoint
from mdsvqa.models.vlm.reader import VlmReader
from mdsvqa.models.vlm.tiny.model import make_tokenizer, save_checkpoint
from mdsvqa.runtime.progress import Silent
from mdsvqa.videos.clip import Clip

SIDE, PATCH = 56, 14
SHORT = VlmSettings(max_new_tokens=16)
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% elif part['type'] == 'video' %}<video>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_llava(out: Path, *, video: bool) -> Path:
    """An untrained LLaVA-OneVision, or a LLaVA, which takes pictures only."""
    tokenizer = make_tokenizer(("<|im_start|>", "<|im_end|>", "<image>", "<video>"))
    text = {
        "model_type": "qwen2",
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    vision = {
        "model_type": "siglip_vision_model" if video else "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    image = tokenizer.convert_tokens_to_ids("<image>")
    size = {"height": SIDE, "width": SIDE}
    if video:
        config = transformers.LlavaOnevisionConfig(
            text_config=text,
            vision_config={**vision, "vision_use_head": False},
            image_token_id=image,
            video_token_id=tokenizer.convert_tokens_to_ids("<video>"),
            image_grid_pinpoints=[[SIDE, SIDE]],
            vision_feature_layer=-1,
        )
        processor = transformers.LlavaOnevisionProcessor(
            image_processor=transformers.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[SIDE, SIDE]]),
            tokenizer=tokenizer,
            video_processor=transformers.LlavaOnevisionVideoProcessor(size=size),
            num_image_tokens=(SIDE // PATCH) ** 2,
            vision_feature_select_strategy="full",
            chat_template=CHAT,
        )
        kind = transformers.LlavaOnevisionForConditionalGeneration
    else:
        config = transformers.LlavaConfig(text_config=text, vision_config=vision, image_token_id=image)
        processor = transformers.LlavaProcessor(
            image_processor=transformers.CLIPImageProcessor(size=size, crop_size=size),
            tokenizer=tokenizer,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=CHAT,
        )
        kind = transformers.LlavaForConditionalGeneration
    torch.manual_seed(0)
    model = kind(config).eval()
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    save_checkpoint(model, processor, out)
    return out


@pytest.fixture(scope="module", params=[True, False], ids=["videos", "pictures"])
def llava(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llava(tmp_path_factory.mktemp("other") / "llava", video=request.param)


def three_clips(reader: VlmReader) -> list[ModelClip]:
    rng = np.random.default_rng(1)
    made = []
    for number, (frames, height, width) in enumerate([(2, 90, 160), (5, 160, 90), (3, 60, 60)]):
        pixels = rng.integers(0, 256, (frames, 3, height, width), dtype=np.uint8)
        found = resize_clip(Clip(f"c{number}", pixels, np.arange(frames) / 2, 2.0, frames / 2), reader.sight)
        assert isinstance(found, ModelClip)
        made.append(found)
    return made


def test_replies_are_those_of_the_processor_and_the_model_alone(llava: Path) -> None:
    reader = VlmReader(load_checkpoint(SHORT, str(llava)), SHORT)
    processor, model = AutoProcessor.from_pretrained(llava), reader.model
    for clip, score in zip(three_clips(reader), reader.read(three_clips(reader)), strict=True):
        video = hasattr(processor, "video_processor")
        seen = [{"type": "video"}] if video else [{"type": "image"}] * len(clip.frames)
        turn = [{"role": "user", "content": [*seen, {"type": "text", "text": prompts.QUALITY}]}]
        text = processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        frames = torch.from_numpy(clip.frames)
        pictures = {"videos": [frames]} if video else {"images": list(frames)}
        inputs = processor(text=[text], **pictures, return_tensors="pt")
        inputs.pop("video_metadata", None)
        with torch.inference_mode():
            never = [processor.tokenizer.convert_tokens_to_ids(t) for t in ("<image>", "<video>")]
            written = model.generate(**inputs, do_sample=False, max_new_tokens=16, suppress_tokens=never)
        reply = processor.tokenizer.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert score.text == reply
        assert score.status == "unparsable"


def test_together_they_are_read_as_one_by_one(llava: Path) -> None:
    reader = VlmReader(load_checkpoint(SHORT, str(llava)), SHORT)
    clips = three_clips(reader)
    assert [reader.read([clip])[0].text for clip in clips] == [score.text for score in reader.read(clips)]


def test_levels_are_read_through_the_processor_too(llava: Path) -> None:
    settings = VlmSettings(reading="expected", answers="levels")
    reader = VlmReader(load_checkpoint(settings, str(llava)), settings)
    levels = list(reader.levels or ())
    reader.model.lm_head.bias = torch.nn.Parameter(torch.full((reader.model.lm_head.out_features,), -20.0))
    with torch.no_grad():
        reader.model.lm_head.bias[levels] = 0.0
    for clip, score in zip(three_clips(reader), reader.read(three_clips(reader)), strict=True):
        batch = reader.batch([clip], [reader.prompt])
        assert reader.tokenizer.decode(batch["input_ids"][0]).endswith("assistant\n" + prompts.LEVELS_OPENING)
        with torch.inference_mode():
            odds = reader.model(**batch).logits[0, -1, levels].double().softmax(-1).numpy()
        assert score.score == pytest.approx(float(odds @ [5, 4, 3, 2, 1]), abs=1e-4)


def test_what_is_not_offered_is_said_in_one_sentence(llava: Path, small_corpus: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(VlmSettings(), str(llava))
    with pytest.raises(ModelError, match="the expected score and what is trained by it are not"):
        VlmReader(checkpoint, VlmSettings(reading="expected"))
    with pytest.raises(ModelError, match="the expected score and what is trained by it are not"):
        AdapterTrainer.load(str(llava), VlmSettings(), VlmFinetuning(), tmp_path, Silent(), Processes())
    found = inspect_checkpoint(llava, "llava", VlmSettings(), {})
    assert "one video at a time" in found["limits"]
    assert found["family"].startswith("Llava")
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in sorted((small_corpus.parent / "videos").glob("target-test*"))[:2]:
        (folder / path.name).write_bytes(path.read_bytes())
    command = ["score", str(folder), "--model", str(llava), "--max-new-tokens", "16", "--workers", "1"]
    told = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "scores")])
    # Untrained, it answers nothing that could be read.
    assert "0 of 2 videos scored" in told.output
    assert " ".join(told.output.split()).count("is no family that is known here") == 1


def test_a_checkpoint_in_its_authors_form_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["InternVLChatModel"]}))
    with pytest.raises(ModelError, match="ends in -hf"):
        family_of(tmp_path, "OpenGVLab/InternVL3-8B")
