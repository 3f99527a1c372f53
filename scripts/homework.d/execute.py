"""Runs the cells of notebook.py, in the repository's root.

    execute.py OUT.ipynb     through Jupyter, and keeps what they show in OUT.ipynb
    execute.py               as a plain program, which shows nothing: does everything still run?

Cells begin with `# %%`, those of text with `# %% [markdown]`."""
import os
import sys
import types

HERE = os.path.dirname(os.path.abspath(__file__))


def read_cells():
    """(is it text, its lines joined) for each cell; the file's own head is left out."""
    cells = []
    for line in open(os.path.join(HERE, "notebook.py")):
        if line.startswith("# %%"):
            cells.append((line.strip().endswith("[markdown]"), []))
        elif cells:
            cells[-1][1].append(line[2:] or "\n" if cells[-1][0] else line)
    return [(text, "".join(lines).strip("\n")) for text, lines in cells]


def run_plainly():
    display = types.ModuleType("IPython.display")
    for name in ("SVG", "Image", "Markdown", "display"):
        setattr(display, name, lambda *arguments, **named: None)
    sys.modules["IPython"], sys.modules["IPython.display"] = types.ModuleType("IPython"), display
    names = {"__name__": "__main__"}
    for number, (text, source) in enumerate(read_cells()):
        if not text:
            exec(compile(source, f"notebook.py, cell {number}", "exec"), names)


def run_as_notebook(path):
    import nbclient
    import nbformat
    notebook = nbformat.v4.new_notebook()
    for number, (text, source) in enumerate(read_cells()):
        make = nbformat.v4.new_markdown_cell if text else nbformat.v4.new_code_cell
        notebook.cells.append(make(source, id=f"cell-{number}"))
    nbclient.NotebookClient(notebook, timeout=None, kernel_name="python3", record_timing=False).execute()
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
                         "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
    text = nbformat.writes(notebook)
    for secret in {os.getcwd(), sys.prefix, os.path.expanduser("~"), os.environ.get("DATA", "")}:
        if os.path.isabs(secret) and secret != "/" and secret in text:
            raise SystemExit(f"{path}: the path {secret} of this machine is in what a cell shows")
    with open(path, "w") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    run_as_notebook(sys.argv[1]) if len(sys.argv) > 1 else run_plainly()
