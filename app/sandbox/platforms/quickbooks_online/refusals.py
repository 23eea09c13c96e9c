"""What QuickBooks says when it refuses: code, message and detail as documented by Intuit."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


class Refusal(Exception):
    """One Fault with one Error."""

    def __init__(
        self,
        code: str,
        message: str,
        detail: str = "",
        *,
        element: str = "",
        kind: str = "ValidationFault",
        status: int = 400,
    ) -> None:
        """Carry the vendor's words and the HTTP status."""
        super().__init__(f"{code} {message}")
        self.code, self.message, self.detail = code, message, detail or message
        self.element, self.kind, self.status = element, kind, status

    def fault(self) -> Record:
        """Return the `Fault` object."""
        error = {"Message": self.message, "Detail": self.detail, "code": self.code, "element": self.element}
        return {"Error": [error], "type": self.kind}


def stale() -> Refusal:
    """Return 5010: the SyncToken is not the newest."""
    detail = (
        "Stale Object Error : You and another user were working on this at the same time; that user finished first."
    )
    return Refusal("5010", "Stale Object Error", detail)


def not_found(element: str = "") -> Refusal:
    """Return 610: there is no such object, or it is inactive."""
    detail = (
        "Object Not Found : Something you're trying to use has been made inactive. "
        "Check the fields with accounts, customers, items, vendors or employees."
    )
    return Refusal("610", "Object Not Found", detail, element=element)


def missing(name: str) -> Refusal:
    """Return 2020: a required parameter is missing."""
    message = "Required param missing, need to supply the required value for the API"
    return Refusal("2020", message, f"Required parameter {name} is missing in the request", element=name)


def invalid_reference(element: str, value: object) -> Refusal:
    """Return 2500: a reference leads nowhere."""
    detail = f"Invalid Reference Id : {element} {value} not found"
    return Refusal("2500", "Invalid Reference Id", detail, element=element)


def too_long(element: str, limit: int) -> Refusal:
    """Return 2050: a text is longer than the field."""
    detail = f"String length is either shorter or longer than supported by specification. Max length is {limit}"
    return Refusal(
        "2050", "String length is either shorter or longer than supported by specification", detail, element=element
    )


def bad_number(element: str) -> Refusal:
    """Return 2080: not a number."""
    return Refusal("2080", "Illegal number format", f"Number format of {element} is not valid", element=element)


def duplicate_name(name: str) -> Refusal:
    """Return 6240: a name is unique over customers, vendors and employees."""
    detail = f"The name supplied already exists. : Another customer is already using this name. ({name})"
    return Refusal("6240", "Duplicate Name Exists Error", detail)


def duplicate_number(number: str, kind: str, txn: str) -> Refusal:
    """Return 6140: the document number is taken."""
    detail = (
        "Duplicate Document Number Error : You must specify a different number. This number has already been used. "
        f"DocNumber={number} is assigned to TxnType={kind} with TxnId={txn}"
    )
    return Refusal("6140", "Duplicate Document Number Error", detail)


def closed(until: str) -> Refusal:
    """Return 6210: the books are closed at that date."""
    detail = f"The account period has closed and the account books cannot be updated. ({until})"
    return Refusal("6210", "Account Period Closed, Cannot Update Through Services API", detail)


def deposited() -> Refusal:
    """Return 6540: the money lies in a bank deposit."""
    return Refusal(
        "6540", "Deposited Transaction cannot be changed", "If you need to change or delete it, edit the deposit first."
    )


def business(detail: str) -> Refusal:
    """Return 6000: a rule of the books is broken."""
    return Refusal(
        "6000",
        "A business validation error has occurred while processing your request",
        f"Business Validation Error: {detail}",
    )


def amount_mismatch(supplied: object) -> Refusal:
    """Return 6070: a line's amount is not quantity times price."""
    detail = f"Amount calculation incorrect in the request. Amount is not UnitPrice * Qty. Supplied value:{supplied}"
    return Refusal("6070", "Amount calculation incorrect in the request", detail, element="Line.Amount")


def bad_query(detail: str) -> Refusal:
    """Return 4001: the query names what is not there."""
    return Refusal("4001", "Invalid query", f"QueryValidationError: {detail}")


def unreadable_query(detail: str) -> Refusal:
    """Return 4000: the query cannot be parsed."""
    return Refusal("4000", "Error parsing query", f"QueryParserError: {detail}")


def throttled() -> Refusal:
    """Return 3001: too many requests."""
    message = "message=ThrottleExceeded; errorCode=003001; statusCode=429"
    return Refusal("3001", message, "The request limit was reached.  Try again later", kind="SERVICE", status=429)


def forbidden() -> Refusal:
    """Return 3100: the token is not for this company."""
    message = "message=ApplicationAuthorizationFailed; errorCode=003100; statusCode=403"
    return Refusal(
        "3100", message, "The application is not authorized for this company", kind="AuthorizatonFault", status=403
    )


def unsupported(detail: str) -> Refusal:
    """Return 500 (a code, not a status): the operation does not exist."""
    return Refusal("500", "Unsupported Operation", detail)


def invalid_operation(detail: str) -> Refusal:
    """Return 2010: the request is malformed."""
    return Refusal("2010", "Request has invalid or unsupported property", detail)


def unauthorised(now_ms: int) -> Record:
    """Return the body of a 401, whose keys are in lower case."""
    error = {
        "message": "message=AuthenticationFailed; errorCode=003200; statusCode=401",
        "detail": "Token expired or invalid",
        "code": "3200",
        "element": None,
    }
    return {
        "warnings": None,
        "intuitObject": None,
        "fault": {"error": [error], "type": "AUTHENTICATION"},
        "report": None,
        "queryResponse": None,
        "batchItemResponse": [],
        "attachableResponse": [],
        "syncErrorResponse": None,
        "requestId": None,
        "time": now_ms,
        "status": None,
        "cdcresponse": [],
    }
