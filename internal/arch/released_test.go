package arch

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A database that someone runs has the migrations of a release, and orders in progress have its histories. So neither ever changes: a
// new migration gets the next number, and a changed workflow gets a new scenario. The list has the format of sha256sum; a release adds
// its new files to it (CONTRIBUTING.md).
func TestReleasedFilesNeverChange(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("testdata/released.sha256")
	require.NoError(t, err)
	released := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		sum, name, found := strings.Cut(lines.Text(), "  ")
		require.True(t, found, "%q is not a sum, two spaces and a file", lines.Text())
		released[path.Dir(name)]++
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Errorf("%s is released and must stay: %v", name, err)
			continue
		}
		if got := sha256.Sum256(text); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s is released and must not change: undo the change, then add a new file (CONTRIBUTING.md)", name)
		}
	}
	require.NoError(t, lines.Err())
	require.NotZero(t, released["migrations"])
	require.NotZero(t, released["workflows/testdata/histories"])
}
