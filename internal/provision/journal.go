package provision

// Journal is the state of the account before the order changed it. An undo restores it, and the account is compared with it
// before it may be Ready again.
type Journal struct {
	Alias             string                      `json:"alias,omitempty"`
	Contact           Contact                     `json:"contact"`
	AlternateContacts map[string]AlternateContact `json:"alternate_contacts,omitempty"` // by type; a missing type had no contact
}
