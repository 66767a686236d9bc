package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/account"
	accounttypes "github.com/aws/aws-sdk-go-v2/service/account/types"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// SetContacts writes the ordered name into the primary contact, whose other parts stay as they are, and the ordered
// alternate contact into the types of the pool's settings. Writing the same again is harmless, so an unknown outcome is
// simply written again.
func (a *Activities) SetContacts(ctx context.Context, in Restore) (struct{}, error) {
	return struct{}{}, a.step(ctx, in.Assignment, provision.StepContacts, func(ctx context.Context) error {
		s, err := a.enter(ctx, in.Assignment)
		if err != nil {
			return err
		}
		// AWS replaces the contact as a whole: what is not in the write is lost. So it is read first, every time.
		current, err := readContact(ctx, s)
		if err != nil {
			return err
		}
		if current.FullName != in.Request.ContactName {
			current.FullName = in.Request.ContactName
			if err := writeContact(ctx, s, current); err != nil {
				return contactRefused(err)
			}
		}
		for _, kind := range in.alternateTypes() {
			if err := writeAlternate(ctx, s, kind, *in.Request.AlternateContact); err != nil {
				return alternateRefused(err)
			}
		}
		seen, err := a.twice(ctx, func(ctx context.Context) (bool, error) { return in.contactsAre(ctx, s) })
		if err == nil && !seen {
			err = notYet("the account's contacts")
		}
		return err
	})
}

// contactsAre tells whether the account's contacts are the ordered ones.
func (w Assignment) contactsAre(ctx context.Context, s *awscloud.Session) (bool, error) {
	current, err := readContact(ctx, s)
	if err != nil || current.FullName != w.Request.ContactName {
		return false, err
	}
	for _, kind := range w.alternateTypes() {
		if got, err := readAlternate(ctx, s, kind); err != nil || got == nil || *got != *w.Request.AlternateContact {
			return false, err
		}
	}
	return true, nil
}

// alternateTypes are the alternate contacts that the order writes.
func (w Assignment) alternateTypes() []string {
	if w.Request.AlternateContact == nil {
		return nil
	}
	return w.Settings.AlternateContactTypes
}

// RestoreContacts puts back what the journal has, value by value: what holds the ordered value is ours and is restored,
// what holds the journal's value needs nothing, and anything else was changed by somebody and is left alone.
func (a *Activities) RestoreContacts(ctx context.Context, in Restore) (Undone, error) {
	return a.undo(ctx, in.Assignment, provision.StepContacts, func(ctx context.Context) ([]string, error) {
		s, err := a.enter(ctx, in.Assignment)
		if err != nil {
			return nil, err
		}
		// A write whose reply was lost may not be shown yet, and no call of this API asks the truth: wait for it.
		var found contactsFound
		if _, err := a.appears(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
			found, err = in.contactsFound(ctx, s)
			return found.ours(), err
		}); err != nil {
			return nil, err
		}
		if err := in.putContactsBack(ctx, s, found); err != nil {
			return nil, err
		}
		if found.ours() {
			gone, err := a.twice(ctx, func(ctx context.Context) (bool, error) {
				now, err := in.contactsFound(ctx, s)
				return err == nil && !now.ours(), err
			})
			if err == nil && !gone {
				err = notYet("the account's earlier contacts")
			}
			if err != nil {
				return nil, err
			}
		}
		return found.notes, nil
	})
}

// contactsFound is what the account's contacts are, compared with what we wrote and with the journal.
type contactsFound struct {
	primary    *provision.Contact // what to write back; nil: nothing
	alternates []string           // types that hold our value
	notes      []string           // what somebody else changed
}

func (f contactsFound) ours() bool { return f.primary != nil || len(f.alternates) > 0 }

func (r Restore) contactsFound(ctx context.Context, s *awscloud.Session) (found contactsFound, err error) {
	current, err := readContact(ctx, s)
	if err != nil {
		return found, err
	}
	switch name := current.FullName; {
	case name != r.Journal.Contact.FullName && r.ordered(func(o provision.Request) bool { return o.ContactName == name }):
		current.FullName = r.Journal.Contact.FullName
		found.primary = &current
		fallthrough
	case name == r.Journal.Contact.FullName:
		if current != r.Journal.Contact {
			found.notes = append(found.notes, "parts of the primary contact that this order does not write were changed by somebody else meanwhile: they were left as they are")
		}
	default:
		found.notes = append(found.notes, "the name in the primary contact was changed by somebody else meanwhile: it was left as it is")
	}
	for _, contactType := range accounttypes.AlternateContactType("").Values() { // the account is to be as it was, also where the order wrote nothing
		kind := string(contactType)
		got, err := readAlternate(ctx, s, kind)
		if err != nil {
			return found, err
		}
		switch earlier := r.earlierAlternate(kind); {
		case sameAlternate(got, earlier):
		case slices.Contains(r.alternateTypes(), kind) && r.ordered(func(o provision.Request) bool { return got != nil && sameAlternate(got, o.AlternateContact) }):
			found.alternates = append(found.alternates, kind)
		default:
			found.notes = append(found.notes, fmt.Sprintf("the %s contact was changed by somebody else meanwhile: it was left as it is", kind))
		}
	}
	return found, nil
}

// ordered tells whether the order asks for it, or did before it was corrected.
func (r Restore) ordered(asks func(provision.Request) bool) bool {
	return asks(r.Request) || slices.ContainsFunc(r.Earlier, asks)
}

// earlierAlternate is the journal's alternate contact of the type; nil when there was none.
func (r Restore) earlierAlternate(kind string) *provision.AlternateContact {
	if earlier, ok := r.Journal.AlternateContacts[kind]; ok {
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

func (r Restore) putContactsBack(ctx context.Context, s *awscloud.Session, found contactsFound) error {
	if found.primary != nil {
		if err := writeContact(ctx, s, *found.primary); err != nil {
			return earlierContactRefused(err, "primary")
		}
	}
	for _, kind := range found.alternates {
		var err error
		if earlier := r.earlierAlternate(kind); earlier != nil {
			err = writeAlternate(ctx, s, kind, *earlier)
		} else {
			_, err = s.Account.DeleteAlternateContact(ctx, &account.DeleteAlternateContactInput{AlternateContactType: accounttypes.AlternateContactType(kind)})
			err = awscloud.IgnoreNotFound(err)
		}
		if err != nil {
			return earlierContactRefused(err, kind)
		}
	}
	return nil
}

func readContact(ctx context.Context, s *awscloud.Session) (provision.Contact, error) {
	out, err := s.Account.GetContactInformation(ctx, &account.GetContactInformationInput{})
	if err != nil || out.ContactInformation == nil {
		return provision.Contact{}, err
	}
	c := out.ContactInformation
	return provision.Contact{
		FullName: aws.ToString(c.FullName), AddressLine1: aws.ToString(c.AddressLine1), AddressLine2: aws.ToString(c.AddressLine2),
		AddressLine3: aws.ToString(c.AddressLine3), City: aws.ToString(c.City), StateOrRegion: aws.ToString(c.StateOrRegion),
		DistrictOrCounty: aws.ToString(c.DistrictOrCounty), PostalCode: aws.ToString(c.PostalCode), CountryCode: aws.ToString(c.CountryCode),
		PhoneNumber: aws.ToString(c.PhoneNumber), CompanyName: aws.ToString(c.CompanyName), WebsiteURL: aws.ToString(c.WebsiteUrl),
	}, nil
}

func writeContact(ctx context.Context, s *awscloud.Session, c provision.Contact) error {
	_, err := s.Account.PutContactInformation(ctx, &account.PutContactInformationInput{ContactInformation: &accounttypes.ContactInformation{
		FullName: given(c.FullName), AddressLine1: given(c.AddressLine1), AddressLine2: given(c.AddressLine2), AddressLine3: given(c.AddressLine3),
		City: given(c.City), StateOrRegion: given(c.StateOrRegion), DistrictOrCounty: given(c.DistrictOrCounty), PostalCode: given(c.PostalCode),
		CountryCode: given(c.CountryCode), PhoneNumber: given(c.PhoneNumber), CompanyName: given(c.CompanyName), WebsiteUrl: given(c.WebsiteURL),
	}})
	return err
}

// given is nil for an empty string: AWS refuses empty values, absent ones it allows.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// readAlternate reads one alternate contact; nil when there is none.
func readAlternate(ctx context.Context, s *awscloud.Session, kind string) (*provision.AlternateContact, error) {
	out, err := s.Account.GetAlternateContact(ctx, &account.GetAlternateContactInput{AlternateContactType: accounttypes.AlternateContactType(kind)})
	if awscloud.IsNotFound(err) || (err == nil && out.AlternateContact == nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := out.AlternateContact
	return &provision.AlternateContact{Name: aws.ToString(c.Name), Email: aws.ToString(c.EmailAddress), Phone: aws.ToString(c.PhoneNumber), Title: aws.ToString(c.Title)}, nil
}

func writeAlternate(ctx context.Context, s *awscloud.Session, kind string, c provision.AlternateContact) error {
	_, err := s.Account.PutAlternateContact(ctx, &account.PutAlternateContactInput{
		AlternateContactType: accounttypes.AlternateContactType(kind),
		Name:                 aws.String(c.Name), EmailAddress: aws.String(c.Email), PhoneNumber: aws.String(c.Phone), Title: aws.String(c.Title),
	})
	return err
}

// refusedFields are the fields that AWS names in a ValidationException, in lower case; none when it names none.
func refusedFields(err error) (names []string) {
	if refused, ok := errors.AsType[*accounttypes.ValidationException](err); ok {
		for _, field := range refused.FieldList {
			names = append(names, strings.ToLower(aws.ToString(field.Name)))
		}
	}
	return names
}

// contactRefused explains why AWS refuses the primary contact. Only the name is the customer's; anything else of it is
// the account's own, which today's checks of AWS do not let pass any more.
func contactRefused(err error) error {
	if !awscloud.IsValidation(err) {
		return err
	}
	for _, field := range refusedFields(err) {
		if !strings.HasSuffix(field, "fullname") {
			return withCause(&provision.Failure{Code: provision.CodeContactDataInvalid,
				Reason: "AWS refuses the account's own contact data (" + field + "): correct the primary contact in the account"}, err)
		}
	}
	return withCause(&provision.Failure{Code: provision.CodeContactRefused, Field: "aws_contact_name",
		Reason: "AWS refuses the primary contact with this name: correct the name"}, err)
}

// alternateRefused explains why AWS refuses the alternate contact, all of which is the customer's.
func alternateRefused(err error) error {
	if !awscloud.IsValidation(err) {
		return err
	}
	field := "aws_alternate_contact"
	for _, name := range refusedFields(err) {
		switch {
		case strings.HasSuffix(name, "emailaddress"):
			field += ".email"
		case strings.HasSuffix(name, "phonenumber"):
			field += ".phone"
		case strings.HasSuffix(name, "title"):
			field += ".title"
		case strings.HasSuffix(name, "name"):
			field += ".name"
		default:
			continue
		}
		break
	}
	return withCause(&provision.Failure{Code: provision.CodeContactRefused, Field: field, Reason: "AWS refuses the alternate contact: correct it"}, err)
}

// earlierContactRefused explains why a contact cannot be put back: a human must, in the console.
func earlierContactRefused(err error, which string) error {
	if !awscloud.IsValidation(err) {
		return err
	}
	return withCause(&provision.Failure{Code: provision.CodeContactDataInvalid,
		Reason: "AWS refuses the account's earlier " + which + " contact, which it held before the order: put it back by hand"}, err)
}
