#!/usr/bin/env bash
# Makes sure that Chromium is on this machine, in which the tests of the console use its pages, and installs it if it may. Google
# Chrome will do, too. The names are those that chromedp looks for.
set -euo pipefail

readonly how="Chromium is needed: run \`apt-get install chromium\`, \`dnf install chromium\` or \`brew install --cask chromium\`."

present() {
	local name
	for name in headless_shell chromium chromium-browser google-chrome google-chrome-stable; do
		if command -v "$name" >/dev/null; then return 0; fi
	done
	[[ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" || -x /Applications/Chromium.app/Contents/MacOS/Chromium ]]
}

may_be_root() { ((EUID == 0)) || sudo -n true 2>/dev/null; }

# as_root COMMAND… runs a command as root. It never asks for a password, because no one may be there to type it.
as_root() {
	if ((EUID == 0)); then
		"$@"
	else
		sudo -n "$@"
	fi
}

if present; then exit 0; fi
if command -v apt-get >/dev/null && may_be_root; then
	echo "Installing Chromium with apt-get …" >&2
	as_root apt-get update -qq >&2
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >&2
elif command -v dnf >/dev/null && may_be_root; then
	echo "Installing Chromium with dnf …" >&2
	as_root dnf install -y -q chromium >&2
elif command -v brew >/dev/null; then
	echo "Installing Chromium with Homebrew …" >&2
	brew install --quiet --cask chromium >&2
fi
if ! present; then
	echo "$how" >&2
	exit 1
fi
