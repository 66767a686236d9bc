package webhooks

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// NewSecret makes a secret as Standard Webhooks writes it. Source: Standard Webhooks 1.0.0, "Signature scheme": 24 to 64 random bytes.
func NewSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand.Read ends the program rather than return an error
	return "whsec_" + base64.StdEncoding.EncodeToString(random[:])
}

// ParseSecret returns a secret without the white space around it. The error does not quote it.
func ParseSecret(text string) (string, error) {
	text = strings.TrimSpace(text)
	if _, err := standardwebhooks.NewWebhook(text); err != nil || !strings.HasPrefix(text, "whsec_") {
		return "", errors.New("the secret is not in the form whsec_<base64>")
	}
	return text, nil
}
