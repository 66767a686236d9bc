package provision

import (
	"crypto/rand"
	"encoding/hex"
)

// NewExternalID makes the secret that the trust policy of an account's role demands: unique per account, made by us,
// never taken from an order. Source: IAM User Guide, "The confused deputy problem".
func NewExternalID() string {
	secret := make([]byte, 20)
	_, _ = rand.Read(secret) // never fails: crypto/rand
	return "qm-" + hex.EncodeToString(secret)
}
