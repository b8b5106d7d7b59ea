"""``python -m omnicli`` is ``omni``; torchrun starts it this way."""

from omnicli.app import main

if __name__ == "__main__":
    main()
