package openapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
)

func TestProblemOfReadsTheProblemDocument(t *testing.T) {
	t.Parallel()
	p := openapi.ProblemOf(http.StatusNotFound, []byte(`{"status":404,"code":"NotFound","detail":"order \"MP-1\" not found"}`))
	require.EqualError(t, p, `404 NotFound: order "MP-1" not found`)
	require.EqualError(t, openapi.ProblemOf(http.StatusBadGateway, []byte("<html>")), "502 : the answer has no problem document")
}
