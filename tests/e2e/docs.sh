# What is written out of the prelude is fresh: its reference, and the table of activations, which draws every one it has.
. "$(dirname "$0")/common.bash"
expect 0 '' "$SOURCE/scripts/prelude-reference" --check
sed -n '/^# ---- activations/,/^# ---- folds/s/^def \([a-z][a-z0-9_]*\)(.*/\1/p' "$SOURCE/frontend/prelude.nn" > names
[ "$(wc -l < names)" -gt 20 ] || fail 'the prelude has no section of activations'
while read -r name; do
  grep -qE "^\| [^|]* \| \`[^\`]*\b$name\b" "$SOURCE/docs/activations.md" || fail "docs/activations.md lacks $name"
done < names
grep -o 'activations/[a-z0-9_-]*\.svg' "$SOURCE/docs/activations.md" > plots
while read -r plot; do present "$SOURCE/docs/$plot"; done < plots
finish
