package stack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"quartermaster/internal/secrets"
)

// sealKeys returns new keys for a stack that starts its own servers. Existing servers contain data that earlier stacks sealed, so
// for them the keys are kept in the user's cache directory.
func sealKeys(o Options) (string, error) {
	if o.SealKeys != "" {
		return o.SealKeys, nil
	}
	if o.DatabaseURL == "" && o.TemporalURL == "" {
		return secrets.GenerateKey("dev"), nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	file := filepath.Join(cache, "quartermaster", "dev-seal-keys")
	kept, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(kept)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", err
	}
	keys := secrets.GenerateKey("dev")
	return keys, os.WriteFile(file, []byte(keys+"\n"), 0o600)
}
