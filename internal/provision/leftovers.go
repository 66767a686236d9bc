package provision

// LeftoverRemoval asks for what an order left in an account to be removed.
type LeftoverRemoval struct {
	Provider  string `json:"provider"`
	AccountID string `json:"account_id"`
	By        Action `json:"by"`
}

// LeftoversRemoved is how the removal went.
type LeftoversRemoved struct {
	Removal   LeftoverRemoval `json:"removal"`
	Order     OrderKey        `json:"order"`               // that had left them
	Leftovers []string        `json:"leftovers,omitempty"` // what is left still; empty: the account is as it was before the order
	Notes     []string        `json:"notes,omitempty"`     // what was left alone on purpose
	Park      bool            `json:"park,omitempty"`      // keep even a clean account out of the pool
}

// KeptUndoPurpose is what the undo that left something in an account is sealed for.
func KeptUndoPurpose(order OrderKey, accountID string) string {
	return "kept-undo/" + order.String() + "/" + accountID
}
