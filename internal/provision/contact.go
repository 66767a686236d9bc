package provision

// Contact is the primary contact of an AWS account. AWS replaces it as a whole: a write erases the fields that it omits.
// Source: AWS Account Management API Reference, PutContactInformation.
type Contact struct {
	FullName         string `json:"full_name"`
	AddressLine1     string `json:"address_line_1"`
	AddressLine2     string `json:"address_line_2,omitempty"`
	AddressLine3     string `json:"address_line_3,omitempty"`
	City             string `json:"city"`
	StateOrRegion    string `json:"state_or_region,omitempty"`
	DistrictOrCounty string `json:"district_or_county,omitempty"`
	PostalCode       string `json:"postal_code"`
	CountryCode      string `json:"country_code"`
	PhoneNumber      string `json:"phone_number"`
	CompanyName      string `json:"company_name,omitempty"`
	WebsiteURL       string `json:"website_url,omitempty"`
}

// AlternateContact is the customer's contact for billing, operations or security mail from AWS.
// Bounds: AWS Account Management API Reference, PutAlternateContact.
type AlternateContact struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Phone string `json:"phone"`
	Title string `json:"title"`
}

// WrittenContacts is what AWS returns for an account's contacts after an order has written them. AWS may store a value in
// another form than it was sent, so the undo compares with this to find out whether a value is still the order's.
type WrittenContacts struct {
	FullName   string                      `json:"full_name"`            // of the primary contact
	Alternates map[string]AlternateContact `json:"alternates,omitempty"` // by type
}
