"""python -m mdsvqa"""

from mdsvqa.cli import main

if __name__ == "__main__":
    main()
