"""Where the 478 landmarks lie: the contours of lips, eyes and face, as indices, from the sitter's
right to left.
"""

__all__ = [
    "EYE_LOWER",
    "EYE_UPPER",
    "FACE_OVAL",
    "IRIS",
    "JAW_LINE",
    "LID_FOLD",
    "LIPS_INNER_LOWER",
    "LIPS_INNER_UPPER",
    "LIPS_OUTER_LOWER",
    "LIPS_OUTER_UPPER",
    "LOWER_LIP_ROWS",
]

# Clockwise in the picture, from the top of the forehead.
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

# The oval's lower part, from the picture's right to its left.
JAW_LINE = FACE_OVAL[10:27]

# Corner to corner; the first and the last point are the corners, shared by upper and lower contour.
LIPS_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIPS_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)

# The lower lip from its inner to its outer contour, row by row, corners left out where rows share
# them.
LOWER_LIP_ROWS = (
    LIPS_INNER_LOWER,
    (96, 89, 179, 86, 15, 316, 403, 319, 325),
    (77, 90, 180, 85, 16, 315, 404, 320, 307),
    LIPS_OUTER_LOWER,
)

# Keys are the sitter's own side. Each contour runs from the picture's left to its right.
EYE_UPPER = {
    "right": (33, 246, 161, 160, 159, 158, 157, 173, 133),
    "left": (362, 398, 384, 385, 386, 387, 388, 466, 263),
}
EYE_LOWER = {
    "right": (33, 7, 163, 144, 145, 153, 154, 155, 133),
    "left": (362, 382, 381, 380, 374, 373, 390, 249, 263),
}
# Where the upper lid folds, index by index with EYE_UPPER; the corners are the eye's.
LID_FOLD = {
    "right": (33, 247, 30, 29, 27, 28, 56, 190, 133),
    "left": (362, 414, 286, 258, 257, 259, 260, 467, 263),
}
IRIS = {"right": (468, 469, 470, 471, 472), "left": (473, 474, 475, 476, 477)}
