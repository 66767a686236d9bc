package console

import (
	"fmt"
	"testing"

	"quartermaster/internal/provision"
)

func TestPagesLook(t *testing.T) {
	s := setup(t)
	s.Seed.Account(t, "111122223333", provision.AccountReady)
	s.Seed.Account(t, "111122224444", provision.AccountProvisioningFailed)
	for i, state := range []provision.OrderState{
		provision.Completed, provision.ActionRequired, provision.Compensating, provision.Failed, provision.Cancelled, provision.WaitingForAccount,
	} {
		s.Seed.Order(t, fmt.Sprintf("MP-2026-%06d", 116+i), state)
	}
	for _, v := range []view{desk, deskDark, phone, phoneDark} {
		b := s.open(t, v)
		b.visit("/console/")
		b.keep("sign-in-" + v.name)
		b.signIn(provision.RoleAdmin)
		b.keep("overview-" + v.name)
	}
}
