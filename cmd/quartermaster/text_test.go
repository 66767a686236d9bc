package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFreeTextOfOptions(t *testing.T) {
	t.Parallel()
	text, err := freeText("--note", "\u00a0payer of the group ", 20)
	require.NoError(t, err)
	require.Equal(t, "payer of the group", text)
	for given, message := range map[string]string{
		"  ":            "--note needs 1 to 20 characters; it has 0",
		"pay\u202eer":   "--note has a character that changes the direction of the text, U+202E, as its character 4: remove it",
		"pay\x1b[31mer": "--note has a control character, U+001B, as its character 4: remove it",
	} {
		_, err := freeText("--note", given, 20)
		require.EqualError(t, err, message)
	}
}
