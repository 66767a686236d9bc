package provision

// LeftoverRemoval asks for the removal of what an order left in an account.
type LeftoverRemoval struct {
	Provider  string       `json:"provider"`
	AccountID string       `json:"account_id"`
	By        Intervention `json:"by"`
}

// LeftoversRemoved is the outcome of a removal.
type LeftoversRemoved struct {
	Removal   LeftoverRemoval `json:"removal"`
	Order     OrderKey        `json:"order"`                // that left them
	Leftovers []string        `json:"leftovers,omitempty"`  // what is still there; empty: the account is as it was before the order
	Notes     []string        `json:"notes,omitempty"`      // what was left alone on purpose
	OnFailure OnFailure       `json:"on_failure,omitempty"` // what happens to a clean account
}

// KeptUndoPurpose binds the sealed undo of an order's leftovers to this order and account.
func KeptUndoPurpose(order OrderKey, accountID string) string {
	return "kept-undo/" + order.String() + "/" + accountID
}
