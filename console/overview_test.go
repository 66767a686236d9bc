package console

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASentenceBeginsWithACapitalAndEndsWithAPeriod(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "given up": "Given up.", "überlastet": "Überlastet.", "why?": "Why?", "日本": "日本.", "<script>": "<script>.",
	} {
		require.Equal(t, want, sentence(text))
	}
}
