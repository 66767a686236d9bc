package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"quartermaster/internal/secrets"
	"quartermaster/workflows"
)

// sealKeys are new ones for a stack that begins empty. Servers that exist hold what earlier stacks sealed, so for them the
// keys are kept, in the user's cache directory.
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

// addSearchAttributes gives an existing Temporal the search attributes that the workflows write.
func addSearchAttributes(ctx context.Context, address string) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Namespace: namespace, Logger: quiet()})
	if err != nil {
		return err
	}
	defer c.Close()
	known, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("reading the search attributes of %s: %w", address, err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name := range workflows.SearchAttributes() {
		if _, there := known.GetCustomAttributes()[name]; !there {
			missing[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	if err != nil {
		return fmt.Errorf("adding the search attributes to %s: %w", address, err)
	}
	return nil
}
