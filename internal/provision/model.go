package provision

import (
	"fmt"
	"slices"
	"time"
)

// Model is the AWS Solution Provider Program's account model. The known models are rows of the table account_models.
type Model string

// The models that the migrations insert.
const (
	ModelSPAM Model = "SPAM" // Solution Provider Account Model: the provider owns the root user
	ModelECAM Model = "ECAM" // End Customer Account Model: the customer owns the root user
)

// AccountModel is a row of account_models.
type AccountModel struct {
	ID         Model     `db:"id"`
	Title      string    `db:"title"`
	RootAccess bool      `db:"root_access"` // the customer owns the root user
	CreatedAt  time.Time `db:"created_at"`
	CreatedBy  string    `db:"created_by"`
}

func findModel(id Model, models []AccountModel) *AccountModel {
	if i := slices.IndexFunc(models, func(m AccountModel) bool { return m.ID == id }); i >= 0 {
		return &models[i]
	}
	return nil
}

// ModelIDs returns the ids of the models.
func ModelIDs(models []AccountModel) []Model {
	ids := make([]Model, len(models))
	for i, m := range models {
		ids[i] = m.ID
	}
	return ids
}

// UnknownModelMessage says that there is no account model of that id, and which ones there are.
func UnknownModelMessage(id Model, known []Model) string {
	return fmt.Sprintf("%q is not an account model: use %s", id, JoinWords(known, "or"))
}
