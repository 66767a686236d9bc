package provision

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A correction may name another report, or the kind, when two reports share a name. Naming another report clears the kind.
func TestCorrectionsOfTheReport(t *testing.T) {
	t.Parallel()
	asked := Failure{Code: CodeReportAmbiguous, Field: "use_existing_cur"}
	ordered := Request{UseExistingCUR: "usage"}
	kind, name, none := DataExport, "weekly", ""
	byKind := Correction{ExistingCURKind: &kind}
	require.True(t, byKind.Answers(asked))
	corrected := byKind.Apply(ordered)
	require.Equal(t, Request{UseExistingCUR: "usage", ExistingCURKind: DataExport}, corrected)
	for _, another := range []*string{&name, &none} {
		byName := Correction{UseExistingCUR: another}
		require.True(t, byName.Answers(asked))
		require.Equal(t, Request{UseExistingCUR: *another}, byName.Apply(corrected))
	}
	require.False(t, byKind.Answers(Failure{Field: "iam_user_name"}))
}
