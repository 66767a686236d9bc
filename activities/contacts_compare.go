package activities

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// AWS may show a contact in another form than it received: an e-mail address in lower case, a phone number without spaces. So two
// values are alike when they differ only in letter case, white space, or the punctuation of phone numbers.

func alike(a, b string) bool { return strings.EqualFold(squeezed(a), squeezed(b)) }

func squeezed(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
}

// alikePhones compares the digits of two phone numbers. A leading 00 means +.
func alikePhones(a, b string) bool { return digits(a) == digits(b) }

func digits(phone string) string {
	return strings.TrimPrefix(strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, phone), "00")
}

func alikeAlternates(a, b *provision.AlternateContact) bool {
	if a == nil || b == nil {
		return a == b
	}
	return alike(a.Name, b.Name) && alike(a.Email, b.Email) && alike(a.Title, b.Title) && alikePhones(a.Phone, b.Phone)
}

// alikeExceptName compares the parts of the primary contact that the order does not write.
func alikeExceptName(a, b provision.Contact) bool {
	return alike(a.AddressLine1, b.AddressLine1) && alike(a.AddressLine2, b.AddressLine2) && alike(a.AddressLine3, b.AddressLine3) &&
		alike(a.City, b.City) && alike(a.StateOrRegion, b.StateOrRegion) && alike(a.DistrictOrCounty, b.DistrictOrCounty) &&
		alike(a.PostalCode, b.PostalCode) && alike(a.CountryCode, b.CountryCode) && alikePhones(a.PhoneNumber, b.PhoneNumber) &&
		alike(a.CompanyName, b.CompanyName) && alike(a.WebsiteURL, b.WebsiteURL)
}

func sameWritten(a, b provision.WrittenContacts) bool {
	return a.FullName == b.FullName && maps.Equal(a.Alternates, b.Alternates)
}

// shownAs is how AWS shows what the order has written.
type shownAs int

const (
	notShown      shownAs = iota // as before the order, or before its correction
	inAnotherForm                // in a form that we do not recognize
	asOrdered                    // letter for letter, or alike
)

// judge returns how AWS shows the contacts that the order writes. The worst of them counts.
func (w contactsToSet) judge(shown provision.WrittenContacts) shownAs {
	worst := asOrdered
	count := func(ordered, replaced bool) {
		switch {
		case ordered:
		case replaced:
			worst = notShown
		default:
			worst = min(worst, inAnotherForm)
		}
	}
	count(alike(shown.FullName, w.Request.ContactName), slices.ContainsFunc(w.replaced, func(c provision.WrittenContacts) bool {
		return alike(shown.FullName, c.FullName)
	}))
	for _, kind := range w.alternateTypes() {
		got, ok := shown.Alternates[kind]
		count(ok && alikeAlternates(&got, w.Request.AlternateContact), !ok ||
			slices.ContainsFunc(w.replaced, func(c provision.WrittenContacts) bool {
				replaced, had := c.Alternates[kind]
				return had && alikeAlternates(&got, &replaced)
			}))
	}
	return worst
}

// contactsFound is the result of comparing the account's contacts with what the order wrote and with the journal.
type contactsFound struct {
	primary    *provision.Contact // what to write back; nil when nothing
	alternates []string           // the types that hold the order's value
	notes      []string           // what someone else changed

	primaryLeft    bool     // the contact has the order's name, which is not alike the journal's
	alternatesLeft []string // the types of which the same is true
}

// ours reports whether there is anything to put back.
func (f contactsFound) ours() bool { return f.primary != nil || len(f.alternates) > 0 }

// left reports whether anything of the order is left. A value that is alike the journal's is not: AWS may show the journal's value in
// another form after it is written back, and no further write changes that.
func (f contactsFound) left() bool { return f.primaryLeft || len(f.alternatesLeft) > 0 }

func (w journaled) contactsFound(ctx context.Context, s *awscloud.Session) (found contactsFound, err error) {
	// all types, because the account must be as it was even where the order wrote nothing
	current, alternates, err := readContacts(ctx, s, allContactTypes())
	if err != nil {
		return found, err
	}
	name, earlierName := current.FullName, w.journal.Contact.FullName
	asBefore := alikeExceptName(current, w.journal.Contact)
	likeEarlier := alike(name, earlierName)
	switch {
	case name != earlierName && w.isOurName(name):
		if current.FullName = earlierName; asBefore {
			current = w.journal.Contact
		}
		found.primary, found.primaryLeft = &current, !likeEarlier
	case !likeEarlier:
		found.notes = append(found.notes, "someone else changed the name in the primary contact: it was left as it is")
	}
	if !asBefore && (likeEarlier || found.primary != nil) {
		found.notes = append(found.notes, "someone else changed parts of the primary contact that the order does not write: they "+
			"were left as they are")
	}
	for _, kind := range allContactTypes() {
		var got *provision.AlternateContact
		if shown, ok := alternates[kind]; ok {
			got = &shown
		}
		earlier := w.earlierAlternate(kind)
		likeEarlier := alikeAlternates(got, earlier)
		switch {
		case got != nil && !sameAlternate(got, earlier) && w.isOurAlternate(kind, *got):
			if found.alternates = append(found.alternates, kind); !likeEarlier {
				found.alternatesLeft = append(found.alternatesLeft, kind)
			}
		case !likeEarlier:
			found.notes = append(found.notes, fmt.Sprintf("someone else changed the %s contact: it was left as it is", kind))
		}
	}
	return found, nil
}

// isOurName reports whether AWS showed the name after SetContacts had written it, or whether it is alike an ordered one.
func (w journaled) isOurName(name string) bool {
	return w.written != nil && w.written.FullName == name ||
		w.ordered(func(o provision.Request) bool { return alike(o.ContactName, name) })
}

// isOurAlternate reports the same of an alternate contact. The settings may have named other types when it was written.
func (w journaled) isOurAlternate(kind string, got provision.AlternateContact) bool {
	if w.written != nil {
		if written, ok := w.written.Alternates[kind]; ok && written == got {
			return true
		}
	}
	return w.ordered(func(o provision.Request) bool { return alikeAlternates(&got, o.AlternateContact) })
}

// ordered reports whether asks is true of the order's request, or of one before a correction.
func (w journaled) ordered(asks func(provision.Request) bool) bool {
	return asks(w.Request) || slices.ContainsFunc(w.EarlierRequests, asks)
}

// earlierAlternate returns the journal's alternate contact of the type; nil when there was none.
func (w journaled) earlierAlternate(kind string) *provision.AlternateContact {
	if earlier, ok := w.journal.AlternateContacts[kind]; ok {
		return &earlier
	}
	return nil
}

func sameAlternate(a, b *provision.AlternateContact) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
