package awssim

import "strings"

// Quirks make an account behave in ways in which AWS may behave: either only a real account would show what AWS does, or accounts
// differ. The zero value is the simulator's usual behavior.
type Quirks struct {
	// NormalizeContacts stores contacts in another form than it receives: e-mail addresses in lower case, text without
	// superfluous white space, and phone numbers without spaces and with + for a leading 00.
	NormalizeContacts bool `json:"normalize_contacts,omitempty"`
	// ShortPages makes every list of IAM begin with an empty page, followed by pages of one element, no matter how many the
	// call asks for.
	ShortPages bool `json:"short_pages,omitempty"`
	// ExactCase finds a user only by the exact name, while CreateUser still refuses a name that differs only in case.
	ExactCase bool `json:"exact_case,omitempty"`
}

// oneSpaced is a text without white space around it, and with single spaces inside.
func oneSpaced(text string) string { return strings.Join(strings.Fields(text), " ") }

// plainPhone is a phone number without white space, and with + for 00.
func plainPhone(number string) string {
	number = strings.Join(strings.Fields(number), "")
	if rest, ok := strings.CutPrefix(number, "00"); ok {
		number = "+" + rest
	}
	return number
}

func (c Contact) normalized() Contact {
	for _, text := range []*string{
		&c.FullName, &c.AddressLine1, &c.AddressLine2, &c.AddressLine3, &c.City, &c.StateOrRegion, &c.DistrictOrCounty,
		&c.PostalCode, &c.CompanyName, &c.WebsiteURL,
	} {
		*text = oneSpaced(*text)
	}
	c.PhoneNumber = plainPhone(c.PhoneNumber)
	return c
}

func (c AlternateContact) normalized() AlternateContact {
	return AlternateContact{
		Name: oneSpaced(c.Name), Title: oneSpaced(c.Title), EmailAddress: strings.ToLower(oneSpaced(c.EmailAddress)),
		PhoneNumber: plainPhone(c.PhoneNumber),
	}
}
