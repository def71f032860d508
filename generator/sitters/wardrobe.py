"""How a sitter looks.

Skin, hair, eyes, clothes, light and camera drawn by seed, and put together into a scene.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from obverse.generator.head import INNER_MOUTH, LASHES, SKIN, SOCKET, HeadModel
from obverse.generator.motion import EXPRESSIONS, expression_index
from obverse.generator.sitters.clothes import NECKLINES, draw_cloth, garment, glasses
from obverse.generator.sitters.eyes import EYE_COLOURS, eye_texture
from obverse.generator.sitters.hair import HAIR_COLOURS, STYLES, HairLook, hair_layer, scalp_roots
from obverse.generator.sitters.identity import Identity
from obverse.generator.sitters.light import Camera, Lighting, draw_camera, draw_lighting
from obverse.generator.sitters.pack import image
from obverse.generator.sitters.raster import vertex_normals
from obverse.generator.sitters.scene import Layer, Scene, Textures, srgb_to_linear
from obverse.generator.sitters.skin import SkinLook, chest_colour, paint_skin
from obverse.generator.sitters.surface import vertex_occlusion

__all__ = ["Appearance", "draw_appearance", "dress"]

FloatArray = npt.NDArray[np.float32]
_TEXEL_WHITE = (255, 255, 255)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Everything about a sitter but the shape."""

    hair: HairLook
    brow_density: float
    brow_width: float
    tone: float
    redness: float
    freckles: float
    stubble: float
    lips: float
    lip_colour: FloatArray  # [3] sRGB bytes
    eye_colour: str
    neckline: str
    glasses: bool
    gloss: tuple[float, float, float]  # of skin (broad, sharp) and eyes
    lighting: Lighting
    camera: Camera
    resting: FloatArray  # [52] the face at rest
    rest: FloatArray  # [3] pitch, yaw, roll of the resting head, radians
    seed: int

    def attributes(self, identity: Identity) -> Mapping[str, str]:
        """Return the attributes for fairness slices."""
        bands = ((35, "25-34"), (50, "35-49"), (65, "50-64"), (200, "65+"))
        african, asian, caucasian = identity.ancestry
        lightness = (0.22 * african + 0.68 * asian + 0.78 * caucasian) * self.tone
        tone = next(
            name
            for limit, name in ((0.36, "dark"), (0.58, "medium"), (2.0, "light"))
            if lightness < limit
        )
        facial = "none" if self.stubble < 0.15 else "stubble" if self.stubble < 0.6 else "beard"
        return {
            "age_band": next(name for limit, name in bands if identity.years < limit),
            "presentation": "masculine" if identity.masculinity > 0.5 else "feminine",
            "skin_tone": tone,
            "hair_style": STYLES[self.hair.style],
            "hair_colour": self.hair.name,
            "facial_hair": facial,
            "eye_colour": self.eye_colour,
            "glasses": "yes" if self.glasses else "no",
            "lighting": self.lighting.name,
        }


def _draw_hair(identity: Identity, rng: np.random.Generator) -> HairLook:
    african, asian, caucasian = identity.ancestry
    if identity.masculinity > 0.5:
        old = float(np.clip((identity.years - 40) / 40, 0, 1))
        styles = {
            "short01": 0.18,
            "short02": 0.20,
            "short03": 0.10,
            "short04": 0.17,
            "buzz": 0.14 + 0.3 * african,
            "afro01": 0.30 * african,
            "receding": 0.08 + 0.35 * old,
            "bald": 0.06 + 0.15 * old,
            "ponytail01": 0.03,
        }
    else:
        styles = {
            "bob01": 0.18,
            "bob02": 0.16,
            "long01": 0.22,
            "ponytail01": 0.20,
            "braid01": 0.08,
            "short03": 0.08,
            "short01": 0.05,
            "afro01": 0.45 * african,
            "buzz": 0.05 * african,
        }
    weights = np.array(list(styles.values()))
    style = str(rng.choice(list(styles), p=weights / weights.sum()))
    dark = african + asian
    colours = {
        "black": 0.12 + 0.75 * dark,
        "dark brown": 0.30,
        "brown": 0.30 * caucasian + 0.02,
        "light brown": 0.22 * caucasian,
        "auburn": 0.10 * caucasian,
        "blond": 0.25 * caucasian,
    }
    grey = float(np.clip((identity.years - 42) / 28, 0, 0.9))
    if rng.random() < grey:
        colours = {"grey": 0.6, "white": 0.4 * grey}
    weights = np.array(list(colours.values()))
    name = str(rng.choice(list(colours), p=weights / weights.sum()))
    colour = np.array(HAIR_COLOURS[name], np.float32) * float(rng.uniform(0.88, 1.12))
    return HairLook(style, name, colour.astype(np.float32), int(rng.integers(1 << 30)))


def draw_appearance(identity: Identity, rng: np.random.Generator) -> Appearance:
    """Draw a sitter's looks to fit the identity."""
    african, asian, caucasian = identity.ancestry
    masculine = identity.masculinity > 0.5
    hair = _draw_hair(identity, rng)
    light = caucasian > 0.55
    eyes = {
        "dark brown": 0.35 + 1.5 * (african + asian),
        "brown": 0.3,
        "hazel": 0.2 * light,
        "green": 0.15 * light,
        "blue": 0.3 * light,
        "grey": 0.15 * light,
    }
    weights = np.array(list(eyes.values()), np.float64)
    eye_colour = str(rng.choice(list(EYE_COLOURS), p=weights / weights.sum()))
    stubble = 0.0
    if masculine:
        stubble = float(rng.choice([0.06, 0.3, 0.85], p=[0.5, 0.28, 0.22])) * float(
            rng.uniform(0.8, 1.15)
        )
    made_up = not masculine and rng.random() < 0.55
    shares = (
        (0.32, 0.10, 0.0, 0.12, 0.18, 0.28) if masculine else (0.28, 0.16, 0.16, 0.14, 0.12, 0.14)
    )
    neckline = str(rng.choice(NECKLINES, p=shares))
    resting = np.zeros(len(EXPRESSIONS), np.float32)
    smile = float(np.clip(rng.normal(0.26, 0.15), 0.02, 0.6))
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        resting[expression_index(name)] = smile * float(rng.uniform(0.85, 1.1))
    for name in ("cheekSquintLeft", "cheekSquintRight"):
        resting[expression_index(name)] = 0.3 * smile
    resting[expression_index("browInnerUp")] = float(rng.uniform(0.05, 0.35))
    return Appearance(
        hair=hair,
        brow_density=float(rng.uniform(0.75, 1.25)),
        brow_width=float(rng.uniform(0.85, 1.25) if masculine else rng.uniform(0.55, 0.95)),
        tone=float(rng.uniform(0.86, 1.06)),
        redness=float(rng.uniform(0.15, 0.85)),
        freckles=float(
            rng.uniform(0.3, 1.0) if light and rng.random() < 0.3 else rng.uniform(0, 0.12)
        ),
        stubble=stubble,
        lips=float(rng.uniform(0.35, 0.9) if made_up else rng.uniform(0.0, 0.12)),
        lip_colour=np.array(
            [(168, 62, 70), (150, 70, 72), (186, 84, 84), (140, 44, 58)][rng.integers(4)],
            np.float32,
        ),
        eye_colour=eye_colour,
        neckline=neckline,
        glasses=bool(rng.random() < 0.14),
        gloss=(float(rng.uniform(0.20, 0.36)), float(rng.uniform(0.18, 0.42)), 2.6),
        lighting=draw_lighting(rng),
        camera=draw_camera(rng),
        resting=resting,
        rest=np.array(
            [rng.normal(0.0, 0.025), rng.normal(0, 0.07), rng.normal(0, 0.022)], np.float32
        ),
        seed=int(rng.integers(1 << 30)),
    )


def plain_table(colour: npt.ArrayLike, gloss: int = 60) -> npt.NDArray[np.uint8]:
    """Return a table of one texel."""
    table = np.full((1, 1, 8), 255, np.uint8)
    table[..., :3] = np.clip(np.asarray(colour), 0, 255)
    table[..., 3:6] = 128
    table[..., 6] = gloss
    return table


def image_table(name: str, gain: npt.ArrayLike, gloss: int) -> npt.NDArray[np.uint8]:
    """Return an image of the pack as a table of texels."""
    picture = image(name)
    table = np.full((*picture.shape[:2], 8), 255, np.uint8)
    table[..., :3] = np.clip(picture[..., :3] * np.asarray(gain), 0, 255)
    table[..., 3:6] = 128
    table[..., 6] = gloss
    return table


def _lashes(model: HeadModel, neutral: FloatArray, masculine: bool) -> Layer:
    faces = np.flatnonzero(model.parts == LASHES)
    members = np.unique(model.triangles[faces])
    number = np.zeros(len(neutral), np.int32)
    number[members] = np.arange(len(members))
    alpha = image("lashes").astype(np.float32) / 255 * (0.6 if masculine else 0.95)
    texture = np.zeros((*alpha.shape, 4), np.float32)
    texture[..., :3] = 0.008
    texture[..., 3] = alpha
    return Layer(
        neutral[members],
        number[model.triangles[faces]],
        np.ascontiguousarray(model.uv[faces]),
        texture,
        (alpha * 255).astype(np.uint8),
        np.ones(len(members), np.float32),
        np.zeros(3, np.float32),
        np.ones((len(members), 3), np.float32),
        np.ones(len(members), np.float32),
        0.002,
        members.astype(np.int64),
        False,
    )


def dress(
    identity: Identity,
    appearance: Appearance,
    neutral: FloatArray,
    offset: FloatArray,
    scale: float,
) -> Scene:
    """Put a sitter's scene together."""
    model = HeadModel.load()
    rng = np.random.default_rng([appearance.seed, 1])
    look = appearance.hair
    masculine = identity.masculinity > 0.5
    brow_hair = np.clip(look.colour * 0.62 + np.array((10, 7, 5)), 0, 120).astype(np.float32)
    skin = paint_skin(
        SkinLook(
            identity,
            appearance.tone,
            appearance.redness,
            appearance.freckles,
            appearance.stubble,
            scalp_roots(look),
            look.colour,
            brow_hair,
            appearance.brow_density,
            appearance.brow_width,
            appearance.lips,
            appearance.lip_colour,
            appearance.seed,
        )
    )
    eye = eye_texture(appearance.eye_colour, identity.years, rng)
    # The texture is grey, and grey enamel looks like metal: it is lightened and warmed.
    white = float(rng.uniform(0.86, 1.0))
    textures = Textures(
        [
            skin,
            eye,
            eye,
            image_table("texture_teeth", (1.75 * white, 1.55 * white, 1.28 * white), 200),
            image_table("texture_tongue", (0.75, 0.55, 0.55), 160),
            plain_table(_TEXEL_WHITE),
            draw_cloth(appearance.neckline, rng),
            plain_table(chest_colour(skin), 80),
        ]
    )
    colours = np.ones((len(neutral), 4), np.float32)
    colours[model.vertex_parts == INNER_MOUTH, :3] = srgb_to_linear([128, 48, 46])
    colours[model.vertex_parts == SOCKET, :3] = srgb_to_linear([150, 80, 70])
    layers = [_lashes(model, neutral, masculine)]
    if appearance.glasses:
        layers.append(glasses(neutral, rng))
    casters = [
        (
            neutral,
            np.ascontiguousarray(model.triangles[model.parts == SKIN]),
            np.zeros((1, 3, 2), np.float32),
            np.full((1, 1), 255, np.uint8),
        )
    ]
    if look.has_mesh:
        hair = hair_layer(look, neutral, offset, scale)
        layers.append(hair)
        casters.append((hair.vertices, hair.triangles, hair.uv, hair.alpha))
    normals = np.empty_like(neutral)
    vertex_normals(neutral, casters[0][1], normals)
    sky = vertex_occlusion(neutral, normals, casters)
    surface = np.isin(model.vertex_parts, (SKIN, SOCKET))
    colours[surface, 3] = np.clip(0.12 + 0.95 * sky[surface], 0, 1)
    return Scene(
        neutral,
        textures,
        garment(neutral, appearance.neckline),
        layers,
        colours,
        appearance.lighting,
        appearance.camera,
        appearance.gloss,
        appearance.rest,
    )
