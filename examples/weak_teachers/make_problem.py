"""A labelled image set and a crawl with noise, from folders of images.

    python make_problem.py IMAGES DATA --classes food/fruit animals/birds ... [--noise FOLDER ...] [--seed N]

IMAGES holds one folder per kind of image, such as /usr/share/openclipart/png of Debian's openclipart-png. Each
class gives images to DATA/target/train and DATA/target/val; the rest is what a search for the class finds, in
DATA/web/image, with so many images of the noise folders and of other classes that --fit of the results fit.
truth.jsonl lists the true class of each result.
"""

import argparse
import json
import random
import shutil
from pathlib import Path


def main() -> None:
    """Write the problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", nargs="+", required=True, help="folders below IMAGES")
    parser.add_argument("--noise", nargs="+", default=[], help="folders below IMAGES that no class is named after")
    parser.add_argument("--train", type=int, default=6, help="labelled images per class")
    parser.add_argument("--val", type=int, default=8, help="test images per class")
    parser.add_argument("--results", type=int, default=84, help="largest number of results of one search")
    parser.add_argument("--fit", type=float, default=0.48, help="share of the results that fit their query")
    parser.add_argument("--confused", type=float, default=0.4, help="share of the noise that shows another class")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    names = {folder: folder.rsplit("/", 1)[-1].replace("_", " ") for folder in options.classes}
    spare = {folder: shuffled(options.images / folder, rng) for folder in options.classes}
    noise = [path for folder in options.noise for path in shuffled(options.images / folder, rng)]
    rng.shuffle(noise)
    for folder, name in names.items():
        for part, number in (("val", options.val), ("train", options.train)):
            copy(spare[folder][:number], options.data / "target" / part / name)
            del spare[folder][:number]
    truth = []
    for folder, name in names.items():
        fitting = spare[folder][: int(options.results * options.fit)]
        found = [(path, name) for path in fitting]
        for _ in range(round(len(fitting) * (1 - options.fit) / options.fit)):
            other = rng.choice([other for other in options.classes if other != folder and spare[other]])
            is_confused = rng.random() < options.confused or not noise
            found.append((rng.choice(spare[other]), names[other]) if is_confused else (noise.pop(), ""))
        copied = copy([path for path, _ in found], options.data / "web" / "image" / name)
        truth += [{"path": str(to), "class": shown} for to, (_, shown) in zip(copied, found, strict=True)]
    with (options.data / "truth.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in truth)


def shuffled(folder: Path, rng: random.Random) -> list[Path]:
    """The images in a folder and its folders, each once, in random order."""
    paths = sorted(path for path in folder.rglob("*.png") if not path.is_symlink())
    rng.shuffle(paths)
    return paths


def copy(paths: list[Path], folder: Path) -> list[Path]:
    """Copy images into a folder under numbers, because names give classes away."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(path, folder / f"{number:04}.png")) for number, path in enumerate(paths)]


if __name__ == "__main__":
    main()
