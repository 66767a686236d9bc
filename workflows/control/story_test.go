package control

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

// readStory reads the story of a recorded history.
func readStory(t *testing.T, file string) storyReader {
	t.Helper()
	_, runs := setupRuns(t)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	history, err := client.HistoryFromJSON(bytes.NewReader(text), client.HistoryJSONOptions{})
	require.NoError(t, err)
	read := storyReader{runs: runs, activities: map[int64]string{}}
	if history.Events[0].GetWorkflowExecutionStartedEventAttributes().WorkflowType.Name != workflows.ProvisionOrderName {
		return read
	}
	for _, event := range history.Events {
		require.NoError(t, read.add(event), file)
	}
	return read
}

// The settings of an order are in the history of its workflow, because an undo needs them after the row was lost.
func TestEveryHistoryOfAnOrderHasItsSettings(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../testdata/histories/*.json")
	require.NoError(t, err)
	read := 0
	for _, file := range files {
		story := readStory(t, file).story
		if story.Order.ID == "" {
			continue
		}
		read++
		require.NotEmpty(t, story.Settings, file)
		for _, settings := range story.Settings {
			require.NotEmpty(t, settings.ReportRegion, file)
			require.Contains(t, []provision.ReportKind{provision.DataExport, provision.LegacyCUR}, settings.ReportKind, file)
		}
	}
	require.NotZero(t, read)
}

func TestAStoryHasEveryRequestOfACorrectedOrder(t *testing.T) {
	t.Parallel()
	story := readStory(t, "../testdata/histories/corrected-alias.json").story
	require.Len(t, story.Requests, 2)
	require.Equal(t, story.Order.Request, story.Requests[0])
	require.NotEqual(t, story.Requests[0].AccountAlias, story.Requests[1].AccountAlias)
}
