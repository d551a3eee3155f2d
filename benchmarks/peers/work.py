"""The work that every server does: look at some pixels of picture and guide. Its text is part of every server's model.

Needs nothing but an array to look at, so that it can be copied into any environment as it stands.
"""


def places(height, width):
    """Return the pixels that are looked at: the corners, and some in between, in every third of the rows."""
    return [
        (0, 0), (0, width - 1), (height // 3, width // 2), (height // 2, width // 3),
        (2 * height // 3, width - 2), (height - 1, 0), (height - 1, width - 1),
    ]  # fmt: skip


def look(image):
    """Return a checksum of an H×W×3 array of uint8: an integer that any one of the pixels changes."""
    height, width, channels = image.shape
    total = 0
    for row, column in places(height, width):
        for channel in range(channels):
            total = (total * 31 + int(image[row, column, channel])) % 1000003
    return total


def answer(picture, guide, version):
    """Return the small JSON document of one call."""
    return {
        "picture": look(picture), "guide": look(guide), "shape": list(picture.shape), "version": version,
        "result_status": "OK", "defect_rects": [],
    }  # fmt: skip
