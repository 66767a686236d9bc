package provision

// Assignment is an account that an order holds, with what the work in it must know of the order. The database is asked for it when
// an attempt begins, so every attempt sees the corrections and the settings of that moment.
type Assignment struct {
	Order   OrderKey `json:"order"`
	Nonce   string   `json:"nonce"`
	Request Request  `json:"request"` // corrections included
	// EarlierRequests are the order's requests before each correction: what they asked for may have been written too.
	EarlierRequests []Request    `json:"earlier_requests,omitempty"`
	Settings        PoolSettings `json:"settings"` // of the pool, as the order keeps them
	// EarlierSettings are the order's settings before an operator changed those of the pool: an attempt may have created something
	// under them.
	EarlierSettings []PoolSettings `json:"earlier_settings,omitempty"`
	Account         Account        `json:"account"`
}
