package main

import (
	"cmp"
	"runtime/debug"
)

// version is the version of the program. The build sets it: go build -ldflags "-X main.version=v0.1.0".
var version string

// programVersion returns the version that the build set, or else the version or the commit that Go recorded.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return recordedVersion(info)
}

func recordedVersion(info *debug.BuildInfo) string {
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	revision := settings["vcs.revision"]
	if revision != "" && settings["vcs.modified"] == "true" {
		revision += "+dirty"
	}
	return cmp.Or(revision, "unknown")
}
