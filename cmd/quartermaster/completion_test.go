package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompletionKnowsCommandsOptionsAndValues(t *testing.T) {
	t.Parallel()
	for line, wanted := range map[string]string{
		"ord":                             "orders",
		"orders re":                       "retry",
		"orders retry --re":               "--reason --retry-for",
		"orders retry --yes o-1 --ac":     "--account",
		"keys create --role ":             "admin marketplace operator viewer",
		"keys create --role=a":            "--role=admin",
		"completion ":                     "bash fish zsh",
		"accounts remove-leftovers --rea": "--reason",
		"orders list --marketplace or":    "",
		"nothing list --":                 "--help --version",
	} {
		out, err := call(t, append([]string{completeCommand}, strings.Split(line, " ")...)...)
		require.NoError(t, err)
		var words []string
		for candidate := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSuffix(candidate, "\n"), "\t")
			words = append(words, word)
		}
		require.Equal(t, wanted, strings.Join(words, " "), line)
	}
	described, err := call(t, completeCommand, "orders", "retr")
	require.NoError(t, err)
	require.Equal(t, "retry\tTry again what orders wait for, after you have fixed something outside of them\n", described)
}

// program returns a folder with the program: this test binary, which TestMain turns into it.
func program(t *testing.T) (folder string) {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	folder = t.TempDir()
	script := "#!/bin/sh\n" + asProgram + "=1 exec '" + binary + "' \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "quartermaster"), []byte(script), 0o700))
	return folder
}

// shells complete a command line by their script, and print the candidates. Only bash is on every machine.
var shells = map[string]struct{ check, complete string }{
	"bash": {"-n", `COMP_WORDS=($LINE); [[ $LINE == *" " ]] && COMP_WORDS+=("")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _quartermaster; printf '%s\n' "${COMPREPLY[@]}"`},
	"zsh": {"-n", `_describe() { print -l -- ${(P)2} }; words=(${(z)LINE}); [[ $LINE == *" " ]] && words+=("")
		CURRENT=$#words; _quartermaster | sed 's/:.*//'`},
	"fish": {"-n", `complete -C "$LINE" | string replace -r '\t.*' ''; true`},
}

func TestTheScriptsCompleteACommandInTheShellsThatAreHere(t *testing.T) {
	t.Parallel()
	folder := program(t)
	for shell, how := range shells {
		path, err := exec.LookPath(shell)
		if shell != "bash" && err != nil {
			continue
		}
		require.NoError(t, err)
		text, err := call(t, "completion", shell)
		require.NoError(t, err)
		script := filepath.Join(t.TempDir(), "script")
		require.NoError(t, os.WriteFile(script, []byte(text), 0o600))
		out, err := exec.CommandContext(t.Context(), path, how.check, script).CombinedOutput()
		require.NoError(t, err, "%s: %s", shell, out)

		start := map[string]string{"zsh": "compdef() { :; }\n"}[shell]
		for line, wanted := range map[string]string{
			"quartermaster orders sw":           "swap\n",
			"quartermaster keys create --role ": "admin\nmarketplace\noperator\nviewer\n",
		} {
			command := exec.CommandContext(t.Context(), path, "-c", start+"source "+script+"\n"+how.complete)
			command.Env = append(os.Environ(), "LINE="+line, "PATH="+folder+":"+os.Getenv("PATH"))
			var stderr bytes.Buffer
			command.Stderr = &stderr
			out, err := command.Output()
			require.NoError(t, err, "%s: %s", shell, stderr.String())
			require.Equal(t, wanted, string(out), "%s: %s: %s", shell, line, stderr.String())
		}
	}
}
