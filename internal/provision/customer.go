package provision

// Customer is the marketplace's customer for whom an order is placed. It is personal data: it is stored with the order and shown to
// readers of the order, and AWS, events, webhooks and logs never receive it.
type Customer struct {
	ID   string `json:"id"` // the marketplace's
	Name string `json:"name"`
}

// ValidateCustomerID checks the id of a customer.
func ValidateCustomerID(field, id string) []FieldError {
	var v fieldErrors
	v.text(field, id, 64)
	return v
}

func (v *fieldErrors) customer(c Customer) {
	*v = append(*v, ValidateCustomerID("customer.id", c.ID)...)
	v.text("customer.name", c.Name, 100)
}
