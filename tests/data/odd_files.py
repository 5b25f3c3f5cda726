"""Odd image files for the tests: some can be read, some cannot."""

import functools
import gzip
import io
import os
import pickle
import socket
import struct
import zipfile
import zlib

import numpy as np
from pictures import picture
from PIL import Image, ImageCms, PngImagePlugin

SIZE = (23, 17)


def saved(image, kind, **options):
    """Bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def of(mode='RGB', number=0):
    return picture(*SIZE, number, 'RGBA' if mode in ('LA', 'RGBA') else 'RGB').convert(mode)


def deep(dtype, scale):
    """A gray ramp of another type of sample."""
    return Image.fromarray((np.arange(SIZE[0] * SIZE[1]).reshape(SIZE[::-1]) * scale).astype(dtype))


def chunk(name, data):
    """A chunk of a PNG file."""
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def png(width, height, depth, colour, rows=b'', extra=b''):
    """A PNG file from its parts; see the PNG specification, 11.2."""
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + extra + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def exif(orientation):
    data = Image.Exif()
    data[274] = orientation
    return data


def cut(data):
    return data[: len(data) * 2 // 3]


def patched(data, place, new):
    return data[:place] + new + data[place + len(new) :]


def tiff_that_names_itself():
    """A TIFF whose directory of one entry is followed by itself."""
    return b'II*\0\x08\0\0\0' + struct.pack('<HHHII', 1, 254, 4, 1, 0) + struct.pack('<I', 8)


def several(kind, **options):
    """Bytes of a file of three images."""
    first, *others = (of(number=i) for i in range(3))
    return saved(first, kind, save_all=True, append_images=others, **options)


def text_info(size):
    info = PngImagePlugin.PngInfo()
    info.add_text('note', 'x' * size, zip=True)
    return info


@functools.cache
def readable():
    """Name -> bytes of files that can be read."""
    jpeg, gray = saved(of(), 'JPEG'), saved(of('L'), 'PNG')
    rows = b''.join(b'\0' + bytes(range(SIZE[0] * 6)) for _ in range(SIZE[1]))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    return {
        'plain.jpg': jpeg,
        'UPPER.JPG': jpeg,
        'gray.jpg': saved(of('L'), 'JPEG'),
        'progressive.jpg': saved(of(), 'JPEG', progressive=True),
        'cmyk.jpg': saved(of('CMYK'), 'JPEG'),
        'turned.jpg': saved(of(), 'JPEG', exif=exif(6)),
        'exif is garbage.jpg': saved(of(), 'JPEG', exif=b'Exif\0\0' + b'garbage' * 9),
        'large profile.jpg': saved(of(), 'JPEG', icc_profile=profile + b'\0' * 300_000),
        'comment.jpg': saved(of(), 'JPEG', comment=b'x' * 60_000),
        'more behind.jpg': jpeg + b'garbage' * 1000,
        'in fact a png.jpg': gray,
        'two pictures.jpg': several('MPO'),
        'gray.png': gray,
        'palette.png': saved(of('P'), 'PNG'),
        'palette, one clear.png': saved(of('P'), 'PNG', transparency=3),
        'palette, many clear.png': saved(of('P'), 'PNG', transparency=bytes(range(0, 250, 10))),
        'gray and alpha.png': saved(of('LA'), 'PNG'),
        'alpha.png': saved(of('RGBA'), 'PNG'),
        'a clear colour.png': saved(of(), 'PNG', transparency=(3, 4, 5)),
        'black and white.png': saved(of('1'), 'PNG'),
        'sixteen.png': saved(deep('uint16', 160), 'PNG'),
        'sixteen, colour.png': png(*SIZE, 16, 2, rows),
        'turned.png': saved(of(), 'PNG', exif=exif(3)),
        'moving.png': several('PNG'),
        'profile.png': saved(of(), 'PNG', icc_profile=profile),
        'text.png': saved(of(), 'PNG', pnginfo=text_info(1000)),
        'one pixel.png': saved(of().crop((0, 0, 1, 1)), 'PNG'),
        'thin.png': saved(of().resize((2, 900)), 'PNG'),
        'many pixels.png': saved(Image.new('1', (6000, 6000)), 'PNG'),
        'still.gif': saved(of('P'), 'GIF'),
        'moving.gif': several('GIF'),
        'clear.gif': saved(of('P'), 'GIF', transparency=0),
        'lossy.webp': saved(of(), 'WEBP'),
        'alpha.webp': saved(of('RGBA'), 'WEBP', lossless=True),
        'moving.webp': several('WEBP'),
        'plain.bmp': saved(of(), 'BMP'),
        'palette.bmp': saved(of('P'), 'BMP'),
        'bits.bmp': saved(of('1'), 'BMP'),
        'plain.tif': saved(of(), 'TIFF'),
        'packed.tif': saved(of(), 'TIFF', compression='tiff_lzw'),
        'pages.tif': several('TIFF'),
        'cmyk.tif': saved(of('CMYK'), 'TIFF'),
        'sixteen.tif': saved(deep('uint16', 160), 'TIFF'),
        'integers.tiff': saved(deep('int32', 160), 'TIFF'),
        'floats.tiff': saved(deep('float32', 0.0025), 'TIFF'),
        'lab.tif': saved(of().convert('LAB'), 'TIFF'),
        'turned.tif': saved(of(), 'TIFF', exif=exif(6)),
        'a\nnew line "quoted".jpg': jpeg,
        'not \udcff\udcfe UTF-8.jpg': jpeg,
        '-rf \u732b \U0001f408 $(x); %s {0}.jpg': jpeg,
        'folder.jpg/inside.jpg': jpeg,
    }


@functools.cache
def unreadable():
    """Name -> bytes of files that cannot be read."""
    jpeg, grain = saved(picture(90, 70), 'JPEG'), saved(picture(90, 70), 'PNG')
    bomb = zlib.compress(b'\0' * 20_000_000)
    profile = chunk(b'iCCP', b'x\0\0' + bomb)
    tiff, gif = saved(picture(90, 70), 'TIFF'), saved(picture(90, 70, mode='P'), 'GIF')
    width = tiff.index(struct.pack('<HHII', 256, 4, 1, 90)) + 8
    return {
        'cut.jpg': cut(jpeg),
        'cut.png': cut(grain),
        'cut.gif': cut(gif),
        'cut.webp': cut(saved(picture(90, 70), 'WEBP')),
        'cut.bmp': cut(saved(picture(90, 70), 'BMP')),
        'cut.tif': cut(tiff),
        'head only.jpg': jpeg[:20],
        'ends at once.jpg': b'\xff\xd8\xff\xd9',
        'wrong sum.png': patched(grain, len(grain) // 2, b'\x55\xaa\x55'),
        'empty.jpg': b'',
        'empty.png': b'',
        'text.jpg': b'This is a cat.\n' * 50,
        'page.png': b'<!DOCTYPE html><html><body>404</body></html>',
        'drawing.png': b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        'program.jpg': saved(of(), 'EPS'),
        'document.jpg': saved(of(), 'PDF'),
        'not accepted.jpg': saved(of(), 'PPM'),
        'garbage.jpg': np.random.default_rng(0).bytes(5000),
        'garbled.jpg': b'\xff\xd8\xff\xe0' + np.random.default_rng(1).bytes(5000),
        'archive.jpg': zip_of('a.jpg', jpeg),
        'packed.jpg': gzip.compress(jpeg),
        'pickle.png': pickle.dumps({'image': list(range(100))}),
        'bomb.png': png(60_000, 60_000, 8, 2, b'\0' * 20_000_000),
        'bomb.jpg': patched(jpeg, jpeg.index(b'\xff\xc0') + 5, struct.pack('>HH', 65_000, 65_000)),
        'bomb.gif': patched(gif, 6, struct.pack('<HH', 65_000, 65_000)),
        'bomb.webp': vp8_lossless(16_383, 16_383),
        'bomb.bmp': patched(saved(of(), 'BMP'), 18, struct.pack('<ii', 60_000, 60_000)),
        'bomb.tif': patched(tiff, width, struct.pack('<I', 2**31)),
        'bomb of text.png': png(*SIZE, 8, 0, b'\0' * 500, chunk(b'zTXt', b'x\0\0' + bomb)),
        'bomb of a profile.png': png(*SIZE, 8, 0, b'\0' * 500, profile),
        'no width.png': png(0, 17, 8, 2),
        'no pages.tif': b'II*\0\x08\0\0\0\0\0',
        'circle.tif': tiff_that_names_itself(),
    }


def zip_of(name, data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr(name, data)
    return file.getvalue()


def vp8_lossless(width, height):
    """A WebP file with nothing but the header of a lossless image; see its specification, section 3.4."""
    bits = (width - 1) | (height - 1) << 14
    data = b'\x2f' + struct.pack('<I', bits) + b'\0' * 200
    data = b'VP8L' + struct.pack('<I', len(data)) + data + b'\0' * (len(data) % 2)
    return b'RIFF' + struct.pack('<I', 4 + len(data)) + b'WEBP' + data


def plant(root):
    """Make them all, and those that are more than bytes, in a folder; returns the names of both sorts."""
    good, bad = readable(), unreadable()
    for name, data in (good | bad).items():
        path = root / 'class' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    folder, outside = root / 'class', root.parent / 'outside'
    outside.mkdir()
    (outside / 'real.jpg').write_bytes(good['plain.jpg'])
    (folder / 'link out.jpg').symlink_to(outside / 'real.jpg')
    (folder / 'same.jpg').hardlink_to(outside / 'real.jpg')
    (folder / 'outside').symlink_to(outside)
    (folder / 'up').symlink_to('..')
    (folder / 'nowhere.jpg').symlink_to('no such file')
    (folder / 'itself.jpg').symlink_to('itself.jpg')
    (folder / 'endless.png').symlink_to('/dev/zero')
    os.mkfifo(folder / 'pipe.jpg')
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(folder / 'socket.jpg'))
    with (folder / 'too long.jpg').open('wb') as file:
        file.write(good['plain.jpg'])
        file.truncate(2**31)
    for name in ('notes.txt', '.jpg', 'Thumbs.db'):
        (folder / name).write_bytes(b'no image, and not taken for one')
    special = ('nowhere.jpg', 'itself.jpg', 'endless.png', 'pipe.jpg', 'socket.jpg', 'too long.jpg')
    return {*good, 'link out.jpg', 'same.jpg', 'outside/real.jpg'}, {*bad, *special}
