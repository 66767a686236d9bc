package api

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// generatorTimeout is for one program. Node.js is installed by the first one if it is missing.
const generatorTimeout = 8 * time.Minute

// run runs a program in the repository and requires that it succeeds.
func run(t *testing.T, folder, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), generatorTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = folder
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s %v:\n%s", program, args, output)
}

// servedDocument writes the document that the service serves into a file.
func servedDocument(t *testing.T) string {
	t.Helper()
	answer := setup(t).send("", http.MethodGet, "/v1/openapi.json", "")
	require.Equal(t, http.StatusOK, answer.Code)
	name := filepath.Join(t.TempDir(), "openapi.json")
	require.NoError(t, os.WriteFile(name, answer.Body.Bytes(), 0o600))
	return name
}

// oapi-codegen makes a client that compiles, with its default options.
func TestGoClientIsGeneratedFromTheServedDocument(t *testing.T) {
	t.Parallel()
	document := servedDocument(t)
	client := filepath.Join(t.TempDir(), "client.go")
	run(t, "..", "go", "tool", "-modfile=tools/go.mod", "oapi-codegen",
		"-generate", "types,client", "-package", "client", "-o", client, document)
	run(t, "..", "go", "build", "-o", os.DevNull, client)
}

// openapi-typescript and @hey-api/openapi-ts make clients that compile in strict mode, with their default options.
func TestTypeScriptClientsAreGeneratedFromTheServedDocument(t *testing.T) {
	t.Parallel()
	document := servedDocument(t)
	run(t, "..", "tools/ensure-node.sh")
	programs, err := filepath.Abs("../.build/node/node_modules/.bin")
	require.NoError(t, err)
	folder := t.TempDir()
	run(t, folder, programs+"/openapi-typescript", document, "-o", "schema.ts")
	run(t, folder, programs+"/openapi-ts", "-i", document, "-o", "client", "--no-log-file")
	options, err := os.ReadFile("../tools/node/tsconfig.json")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "tsconfig.json"), options, 0o600))
	require.FileExists(t, filepath.Join(folder, "schema.ts"))
	require.FileExists(t, filepath.Join(folder, "client", "sdk.gen.ts"))
	run(t, folder, programs+"/tsc", "-p", ".")
}
