package main

import (
	"cmp"
	"runtime/debug"
)

// version is the release that the program is, or comes after. CHANGELOG.md has its changes, and the tag of the release is "v" + version.
const version = "0.1.0"

// commit is the commit that the program was built from. A build without the repository at hand, such as that of the image, sets
// it: go build -ldflags "-X main.commit=4ca317d". Otherwise Go records it.
var commit string

// programVersion returns the version, followed by the commit in parentheses if it is known.
func programVersion() string {
	from := commit
	if info, ok := debug.ReadBuildInfo(); ok {
		from = cmp.Or(from, recordedCommit(info))
	}
	if from == "" {
		return version
	}
	return version + " (" + from + ")"
}

// recordedCommit returns the commit that Go recorded, with "+dirty" if files had changed since; "" when Go recorded none.
func recordedCommit(info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	revision := settings["vcs.revision"]
	revision = revision[:min(len(revision), 12)]
	if revision != "" && settings["vcs.modified"] == "true" {
		revision += "+dirty"
	}
	return revision
}
