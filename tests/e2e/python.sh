# The Python module against NumPy, from the source folder and as pip installs it. Skipped where NumPy is missing.
. "$(dirname "$0")/common.bash"
python3 -c 'import numpy' 2> /dev/null || { echo 'python3 has no numpy'; exit 77; }
export PYTHONDONTWRITEBYTECODE=1
python3 "$SOURCE/tests/e2e/module.py" > log 2>&1 || fail "$(cat log)"
grep -q '^OK' log || fail 'no test was run'

# The program in docs/python.md.
ln -s "$SOURCE/models" models
awk '/^```$/ { code = 0 } code; /^```python$/ { code = 1 }' "$SOURCE/docs/python.md" > program.py
PYTHONPATH=$SOURCE/python python3 program.py > program.log 2>&1 || fail "$(cat program.log)"
awk '$1 == "right" && $2 > 0.8 { good = 1 } END { exit !good }' program.log || fail "$(cat program.log)"

# pip reads what it needs from the machine alone.
if python3 -c 'import setuptools, wheel, pip' 2> /dev/null; then
  cp -r "$SOURCE/python" source
  python3 -m pip install --quiet --no-index --no-build-isolation --no-deps --target installed ./source > pip.log 2>&1 ||
    fail "pip: $(tail -3 pip.log)"
  MODULE=$PWD/installed python3 "$SOURCE/tests/e2e/module.py" > log 2>&1 || fail "as installed: $(cat log)"
fi
finish
