#!/usr/bin/env python3
"""A second implementation of the byte formats of fapiao, an e-invoice engine.

It was written from the manual page "Formats" alone, before its author had seen any code of the engine or any expected bytes. Where the
page left a rule open, it took the most literal reading; the page has since been made precise there, and the program follows it.

Without arguments it reads requests from standard input, one JSON object per line, and writes one JSON object per line:

  encode             draft, check_code, salt, authority_seed, tag_key, host, perhaps issuer_seed
  decode             face, rest
  decode_qr          text, public_key
  event              event (3-8, 13-15), data, salt, authority_seed
  decode_event       event (3-8, 13-15), data in bytes
                       3 {id: {code, number}, day}        4 {id, mark}        5 {taxpayer, kind, code, first, last}
                       6 {code, first, last, mark}        7 {algorithm, role, key_id, public_key, valid_from, valid_until or null,
                                                                perhaps reason}
                       8 {first, count, root, earliest, latest}         15 {previous, policy}
                       a mark is its number or lost, stolen, abnormal, blank_void, lifted, red_before_import
  leaf               event, kind, flags, time_ms, ref_index or null, id_tag, commit, key_id
  decode_leaf        leaf
  tree               leaves (the leaves themselves, not their hashes)
  checkpoint         origin, size, root, seed
  verify_checkpoint  note, origin, public_key
  answer             verdict, query_digest (or query: {code, number, date, amount, check, total, seller_id, buyer_id} or {text}), origin, size, root, time,
                     times_verified, first_verified or null, commit or null, remaining {amount, tax} or null, seed
  answers            first, answers: list of {answer, signature, time}
  rows               list: rows of {salt, verdict, query_digest (or query as above, or line), size, time, times_verified, first_verified or null, commit or
                     null, remaining {amount, tax} or null}, origin, size, root, time, seed
  verify_row         file: a row file; origin, answering_key, checkpoint_key
  classic_qr         text

Byte strings are hexadecimal. What is malformed gives {"error": …}. With --self-test it checks itself and exits.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Values = dict[str, Any]  # member path ("buyer.name") -> canonical string; "lines" and "fees" -> list of Values
Form = Callable[[str], str]  # checks the text of a member and gives its canonical form

KINDS = ("01", "02", "03", "04", "10", "11")
ALL = " ".join(KINDS)
WITH_CHECK_CODE = ("04", "10", "11")
CODE_LENGTHS = {"01": (10,), "02": (10,), "03": (12,), "04": (10, 12), "10": (12,), "11": (12,)}
MARKS = {"lost": 1, "stolen": 2, "abnormal": 3, "blank_void": 4, "lifted": 5, "red_before_import": 6}
MARKS_OF = {4: (1, 2, 3, 5, 6), 6: (1, 2, 4, 5)}
AMOUNT_MAX = 9_999_999_999_999
ALL_ONES = 2**64 - 1


class Fault(Exception):
    """A request, a draft or bytes that the manual refuses."""


def need(condition: object, message: str) -> None:
    if not condition:
        raise Fault(message)


# ---------------------------------------------------------------- values of members


def text(limit: int, newline: bool = False) -> Form:
    def form(value: str) -> str:
        for char in value:
            control = char < " " or "\x7f" <= char <= "\x9f"
            need(not control or (newline and char == "\n"), "control character")
        need(sum(1 if char < "\x80" else 2 for char in value) <= limit, f"longer than {limit} bytes of GBK")
        return value

    return form


def pattern(expression: str, drop: str = "") -> Form:
    compiled = re.compile(expression)

    def form(value: str) -> str:
        value = value.replace(drop, "") if drop else value
        need(compiled.fullmatch(value), f"is not of the form {expression}")
        return value

    return form


def choice(**spellings: str) -> Form:
    """One of several values, each with the spellings that are read as it; the name of a value that is a digit starts with `_`."""
    canonical = {spelling: name.lstrip("_") for name, given in spellings.items() for spelling in given.split()}

    def form(value: str) -> str:
        need(value in canonical, "unknown value")
        return canonical[value]

    return form


def scaled(value: str, places: int) -> int:
    """The decimal number as an integer count of 10^-places; refuses what is not exact."""
    sign, digits = (-1, value[1:]) if value.startswith("-") else (1, value)
    whole, _, fraction = digits.partition(".")
    need(not fraction[places:].strip("0"), "too many decimals")
    return sign * int(whole + fraction[:places].ljust(places, "0"))


def unscaled(number: int, places: int, keep: int = 0) -> str:
    """The inverse of `scaled`, without trailing zeros beyond the first `keep` decimals."""
    digits = str(abs(number)).rjust(places + 1, "0")
    whole, fraction = digits[:-places], digits[-places:].rstrip("0").ljust(keep, "0")
    return ("-" if number < 0 else "") + whole + ("." + fraction if fraction else "")


def money(value: str) -> str:
    need(re.fullmatch(r"-?[0-9]{1,11}(\.[0-9]{1,2})?", value), "is not an amount")
    return unscaled(scaled(value, 2), 2, keep=2)


def dec8(value: str) -> str:
    need(re.fullmatch(r"-?[0-9]{1,10}(\.[0-9]{1,8})?", value), "is not a quantity or price")
    return unscaled(scaled(value, 8), 8)


def money_or_stars(value: str) -> str:
    return value if value == "***" else money(value)


def rate_cell(value: str) -> str:
    if value in ("免税", "不征税", "***"):
        return value
    need(re.fullmatch(r"0(\.[0-9]{1,5})?|[0-9]{1,2}(\.[0-9]{1,3})?%", value), "is not a rate")
    return unscaled(scaled(value[:-1], 3) if value.endswith("%") else scaled(value, 5), 5)


def date(value: str) -> str:
    match = re.fullmatch(r"([0-9]{4})(-?)([0-9]{2})\2([0-9]{2})", value)
    if match is None:
        raise Fault("is not a date")
    need("2000" <= match[1] <= "2999", "is not of this millennium")
    try:
        return datetime.date(int(match[1]), int(match[3]), int(match[4])).isoformat()
    except ValueError:
        raise Fault("no such day") from None


TAX_ID = pattern(r"[0-9A-Z]{15}|[0-9A-Z]{17,18}|[0-9A-Z]{20}")
CODE = pattern(r"[0-9]{10}|[0-9]{12}")
NUMBER = pattern(r"(?!00000000)[0-9]{8}")
VIN = pattern(r"[0-9A-HJ-NPR-Z]{17}")
MACHINE = pattern(r"[0-9]{12}")
CHECK_CODE = pattern(r"[0-9]{20}", drop=" ")
KIND = pattern("|".join(KINDS))
NATURE = pattern(r"[0126]")
TREATMENT = choice(_1="1", _2="2", _3="3 0")
PREFERENTIAL = choice(true="true 1", false="false 0")
STATE = choice(normal="normal 0 N", voided="voided Y 2", red_flushed="red_flushed 3", abnormal="abnormal 4")


# ---------------------------------------------------------------- drafts


@dataclass(frozen=True)
class Member:
    path: str
    aliases: str
    required: str  # kinds
    allowed: str  # kinds
    form: Form | None  # None: an array


TOP_MEMBERS = [
    Member("kind", "fplx", ALL, ALL, KIND),
    Member("code", "fpdm", ALL, ALL, CODE),
    Member("number", "fphm", ALL, ALL, NUMBER),
    Member("date", "kprq", ALL, ALL, date),
    Member("check_code", "jym", "", "04 10 11", CHECK_CODE),
    Member("machine_number", "jqbh sbbh skph jqbm", "10 11", ALL, MACHINE),
    Member("cipher", "mw", "", "01 02 03 04 10", text(200, newline=True)),
    Member("buyer.name", "gfmc spfmc ghdw", "01 02 03 04 10", ALL, text(100)),
    Member("buyer.tax_id", "gfsbh spfsbh", "01 02", ALL, TAX_ID),
    Member("buyer.id_card", "sfzhm", "", "03", text(30)),
    Member("buyer.address_phone", "gfdzdh", "", "01 02 04 10", text(100)),
    Member("buyer.bank_account", "gfyhzh", "", "01 02 04 10", text(100)),
    Member("seller.name", "xfmc cyrmc xhdwmc", ALL, ALL, text(100)),
    Member("seller.tax_id", "xfsbh cyrsbh nsrsbh", ALL, ALL, TAX_ID),
    Member("seller.address_phone", "xfdzdh", "", "01 04 10", text(100)),
    Member("seller.bank_account", "xfyhzh", "", "01 04 10", text(100)),
    Member("seller.phone", "dh", "03", "03", text(40)),
    Member("seller.address", "dz", "03", "03", text(100)),
    Member("seller.bank", "khyh", "03", "03", text(100)),
    Member("seller.account", "zh", "03", "03", text(50)),
    Member("amount", "je hjje bhsj", ALL, ALL, money),
    Member("tax", "se hjse", ALL, ALL, money),
    Member("total", "jshj", ALL, ALL, money),
    Member("total_upper", "jshjdx", "", ALL, text(100)),
    Member("rate", "slv", "02 03", "02 03", rate_cell),
    Member("treatment", "lslbs", "", "02 03", TREATMENT),
    Member("remark", "bz", "", ALL, text(230, newline=True)),
    Member("payee", "skr", "", ALL, text(16)),
    Member("reviewer", "fhr", "", ALL, text(16)),
    Member("drawer", "kpr", ALL, ALL, text(16)),
    Member("red.original_code", "yfpdm", "", ALL, CODE),
    Member("red.original_number", "yfphm", "", ALL, NUMBER),
    Member("red.notice_number", "xxbbh", "", "01 02", pattern(r"[0-9]{16,24}")),
    Member("red.reason", "chyy", "", ALL, pattern(r"[1-4]")),
    Member("consignor.name", "fhrmc", "02", "02", text(100)),
    Member("consignor.tax_id", "fhrsbh", "", "02", TAX_ID),
    Member("consignee.name", "shrmc", "02", "02", text(100)),
    Member("consignee.tax_id", "shrsbh", "", "02", TAX_ID),
    Member("route", "qyd", "02", "02", text(100)),
    Member("cargo", "yshwxx", "", "02", text(200)),
    Member("carriage", "czch", "", "02", text(60)),
    Member("tonnage", "ccdw dw", "", "02 03", text(20)),
    Member("tax_office.name", "swjg_mc swjgmc", "02 03", "02 03", text(100)),
    Member("tax_office.code", "swjg_dm swjgdm", "02 03", "02 03", pattern(r"[0-9]{9}|[0-9]{11}")),
    Member("fees", "fyxm_list", "02", "02", None),
    Member("printed_code", "jddm", "03", "03 11", CODE),
    Member("printed_number", "jdhm", "03", "03 11", NUMBER),
    Member("vehicle.type", "cllx", "03", "03", text(40)),
    Member("vehicle.model", "cpxh", "03", "03", text(60)),
    Member("vehicle.origin", "cd", "03", "03", text(40)),
    Member("vehicle.vin", "clsbdh cjhm", "03", "03", VIN),
    Member("vehicle.engine_number", "fdjhm", "", "03", text(50)),
    Member("vehicle.certificate", "hgzh", "", "03", text(50)),
    Member("vehicle.import_certificate", "jkzmsh", "", "03", text(50)),
    Member("vehicle.inspection", "sjdh", "", "03", text(50)),
    Member("vehicle.manufacturer", "sccjmc", "", "03", text(100)),
    Member("vehicle.seats", "xcrs", "", "03", text(12)),
    Member("vehicle.tax_receipt", "wspzh", "", "03", text(50)),
    Member("lines", "mxxx fyxm_mx", "01 04 10 11", "01 04 10 11", None),
    Member("issuer.key_id", "", "", ALL, pattern(r"[0-9a-f]{16}")),
    Member("issuer.signature", "", "", ALL, pattern(r"[0-9a-f]{128}")),
    Member("state", "zfbz", "", ALL, STATE),
]
FEE_MEMBERS = [
    Member("item", "fyxm", "02", "02", text(40)),
    Member("amount", "je", "02", "02", money),
]
LINE_MEMBERS = [
    Member("nature", "fphxz", "", "01 04 10", NATURE),
    Member("name", "hwmc spmc xm", "01 04 10 11", "01 04 10 11", text(100)),
    Member("specification", "ggxh", "", "01 04 10", text(40)),
    Member("unit", "dw", "", "01 04 10", text(20)),
    Member("quantity", "sl", "", "01 04 10 11", dec8),
    Member("price", "dj", "", "01 04 10 11", dec8),
    Member("amount", "je", "01 04 10 11", "01 04 10 11", money),
    Member("gross", "hsje", "11", "11", money),
    Member("rate", "slv", "01 04 10 11", "01 04 10 11", rate_cell),
    Member("treatment", "lslbs", "", "01 04 10 11", TREATMENT),
    Member("tax", "se", "01 04 10 11", "01 04 10 11", money_or_stars),
    Member("tax_class", "spbm", "", "01 04 10", pattern(r"[0-9]{19}")),
    Member("own_code", "zxbm", "", "01 04 10", text(32)),
    Member("preferential", "yhzcbs", "", "01 04 10", PREFERENTIAL),
    Member("preference", "zzstsgl", "", "01 04 10", text(60)),
    Member("deduction", "kce", "", "01 04 10", money),
]
ARRAYS = {"lines": (LINE_MEMBERS, 2000), "fees": (FEE_MEMBERS, 100)}
TOP = {member.path: member for member in TOP_MEMBERS}


def collect(draft: Any, members: list[Member]) -> Values:
    """Resolves names and aliases; gives raw values by path, without the absent ones."""
    need(isinstance(draft, dict), "not a JSON object")
    groups = {member.path.partition(".")[0] for member in members if "." in member.path}
    nested = {member.path for member in members if "." in member.path}
    names = {member.path: member.path for member in members if "." not in member.path}
    names |= {alias: member.path for member in members for alias in member.aliases.split()}
    found: Values = {}

    def put(path: str | None, name: str, value: Any) -> None:
        if path is None:
            raise Fault(f"{name}: unknown member")
        need(path not in found, f"{path}: written twice")
        found[path] = value

    for name, value in draft.items():
        if name not in groups:
            put(names.get(name), name, value)
        elif isinstance(value, dict):
            for inner, inner_value in value.items():
                path = f"{name}.{inner}"
                put(path if path in nested else None, path, inner_value)
        else:
            need(value is None or value == "", f"{name}: not an object")
    return {path: value for path, value in found.items() if value is not None and value != ""}


def normalise(draft: Any, members: list[Member], kind: str | None = None) -> Values:
    """Checks one object of a draft, member by member, and gives canonical values."""
    raw = collect(draft, members)
    if kind is None:
        need(isinstance(raw.get("kind"), str), "kind: required")
        kind = KIND(raw["kind"])
    values: Values = {}
    for member in members:
        path = member.path
        value = raw.get(path)
        if value is None or value == []:
            need(kind not in member.required.split(), f"{path}: required")
            continue
        need(kind in member.allowed.split(), f"{path}: not allowed for kind {kind}")
        if member.form is None:
            need(isinstance(value, list), f"{path}: not an array")
            array_members, limit = ARRAYS[path]
            need(len(value) <= limit, f"{path}: more than {limit}")
            values[path] = [normalise(element, array_members, kind) for element in value]
            continue
        if path == "preferential" and isinstance(value, bool):
            value = "true" if value else "false"
        need(isinstance(value, str), f"{path}: not a string")
        try:
            values[path] = member.form(value)
        except Fault as fault:
            raise Fault(f"{path}: {fault}") from None
    settle_rate(values)
    if members is LINE_MEMBERS:
        settle_line(values, kind)
    return values


def settle_rate(values: Values) -> None:
    cell = {"免税": "1", "不征税": "2", "***": values.get("treatment", "2")}.get(values.get("rate", ""))
    if cell is not None:
        need(values.setdefault("treatment", cell) == cell, "rate and treatment contradict each other")
        values["rate"] = "0"
    need("treatment" not in values or values.get("rate") == "0", "rate: not 0 with a treatment")
    if values.get("tax") == "***":
        need(values.get("treatment") in ("1", "2"), "tax: *** on a taxed line")
        values["tax"] = "0.00"


def settle_line(values: Values, kind: str) -> None:
    need(("quantity" in values) == ("price" in values), "quantity and price: both or neither")
    if values.get("preferential") == "false":
        del values["preferential"]
    need("preference" not in values or "preferential" in values, "preference: only with preferential")
    if values.get("nature") == "0":
        del values["nature"]


def read_draft(draft: Any) -> Values:
    """A whole draft: members, then the rules between them. The check code may still be missing."""
    values = normalise(draft, TOP_MEMBERS)
    kind = values["kind"]
    need("state" not in values, "state: on import only")
    need(len(values["code"]) in CODE_LENGTHS[kind], "code: length does not suit the kind")
    amount, tax, total = (scaled(values[name], 2) for name in ("amount", "tax", "total"))
    need(amount + tax == total, "amount and tax do not add up to total")
    need(values.get("printed_code", values["code"]) == values["code"], "printed_code: is not the code")
    need(values.get("printed_number", values["number"]) == values["number"], "printed_number: is not the number")
    is_red = any(path.startswith("red.") for path in values)
    need(is_red == (total < 0), "red: present if and only if total is negative")
    if is_red:
        need("red.original_code" in values and "red.original_number" in values, "red: original code and number required")
        need(kind not in ("01", "02") or "red.notice_number" in values, "red.notice_number: required")
    if "issuer.key_id" in values or "issuer.signature" in values:
        need("issuer.key_id" in values and "issuer.signature" in values, "issuer: key id and signature come together")
        need("check_code" in values or kind not in WITH_CHECK_CODE, "check_code: a signed draft states it")
    if kind == "03":
        need("buyer.tax_id" in values or "buyer.id_card" in values, "buyer: tax_id or id_card required")
        papers = [name in values for name in ("vehicle.certificate", "vehicle.import_certificate", "vehicle.inspection")]
        need(papers in ([True, False, False], [False, True, True]), "vehicle: certificate, or import_certificate and inspection")
    return values


def nest(values: Values) -> Values:
    """Canonical values as a draft with English names."""
    draft: Values = {}
    for path, value in values.items():
        if path == "preferential":
            value = True
        elif isinstance(value, list):
            value = [nest(element) for element in value]
        group, dot, name = path.partition(".")
        if dot:
            draft.setdefault(group, {})[name] = value
        else:
            draft[path] = value
    return draft


# ---------------------------------------------------------------- bytes


def uint(number: int, size: int) -> bytes:
    need(0 <= number < 1 << 8 * size, "integer out of range")
    return number.to_bytes(size, "big")


def sint(number: int) -> bytes:
    return number.to_bytes(8, "big", signed=True)


def write_text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return uint(len(data), 2) + data


def write_opt(data: bytes | None) -> bytes:
    return b"\0" if data is None else b"\1" + data


def write_code(code: str) -> bytes:
    return bytes.fromhex(code.ljust(12, "f"))


def write_invoice_id(code: str, number: str) -> bytes:
    return write_code(CODE(code)) + bytes.fromhex(NUMBER(number))


def write_date(value: str) -> bytes:
    return uint(int(date(value).replace("-", "")), 4)


def fen(value: str) -> bytes:
    return sint(scaled(value, 2))


class Reader:
    """Takes values off the front of a byte string."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        need(self.at + size <= len(self.data), "bytes end too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def one_of(self, *allowed: int) -> int:
        value = self.uint(1)
        need(value in allowed, f"unknown value {value}")
        return value

    def present(self) -> bool:
        return self.one_of(0, 1) == 1

    def text(self, may_be_empty: bool = False) -> str:
        size = self.uint(2)
        need(size <= 4096, "text too long")
        data = self.take(size)
        need(data or may_be_empty, "empty text")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise Fault("not UTF-8") from None

    def fen(self) -> str:
        number = int.from_bytes(self.take(8), "big", signed=True)
        need(abs(number) <= AMOUNT_MAX, "amount out of range")
        return unscaled(number, 2, keep=2)

    def dec8(self) -> str:
        number = int.from_bytes(self.take(8), "big", signed=True)
        need(abs(number) < 10**18, "quantity or price out of range")
        return unscaled(number, 8)

    def bcd(self, size: int) -> str:
        digits = self.take(size).hex()
        need(digits.isdecimal(), "not BCD")
        return digits

    def invoice_id(self) -> tuple[str, str]:
        code = self.take(6).hex()
        code = code[:10] if code.endswith("ff") else code
        need(code.isdecimal(), "not BCD")
        return code, NUMBER(self.bcd(4))

    def end(self) -> None:
        need(self.at == len(self.data), "bytes left over")


# ---------------------------------------------------------------- face and rest


def write_face(values: Values, with_check_code: bool = True) -> bytes:
    check_code = b""
    if with_check_code and values["kind"] in WITH_CHECK_CODE:
        need("check_code" in values, "check_code: required")
        check_code = bytes.fromhex(values["check_code"])
    seller: bytes = values["seller.tax_id"].encode("ascii")
    return (
        bytes([1, int(values["kind"])]) + write_invoice_id(values["code"], values["number"]) + write_date(values["date"])
        + fen(values["amount"]) + fen(values["total"]) + uint(len(check_code), 1) + check_code + uint(len(seller), 1) + seller
    )  # fmt: skip


def read_face(reader: Reader) -> Values:
    """The face at the front of the reader; it delimits itself."""
    reader.one_of(1)
    kind = f"{reader.one_of(*map(int, KINDS)):02}"
    code, number = reader.invoice_id()
    need(len(code) in CODE_LENGTHS[kind], "code: length does not suit the kind")
    values: Values = {"kind": kind, "code": code, "number": number, "date": date(f"{reader.uint(4):08}")}
    values |= {"amount": reader.fen(), "total": reader.fen()}
    values["tax"] = unscaled(scaled(values["total"], 2) - scaled(values["amount"], 2), 2, keep=2)
    if reader.one_of(10 if kind in WITH_CHECK_CODE else 0):
        values["check_code"] = reader.bcd(10)
    seller = reader.take(reader.one_of(15, 17, 18, 20))
    values["seller.tax_id"] = TAX_ID(seller.decode("latin-1"))
    return values


Field = tuple[str, str]  # (member, shape)


def layout(description: str) -> list[Field]:
    """`member` is a text, `member?` an optional text, `member:shape` one of the shapes below."""
    fields = []
    for word in description.split():
        member, colon, shape = word.partition(":")
        fields.append((member.rstrip("?"), shape if colon else "opt" if member.endswith("?") else "text"))
    return fields


PARTIES = "buyer.address_phone? buyer.bank_account? seller.address_phone? seller.bank_account? "
HEAD = layout("seller.name drawer payee? reviewer? remark? red:red")
PARTICULARS = {
    "01": layout("buyer.name buyer.tax_id " + PARTIES + "machine_number? cipher? lines:lines"),
    "04": layout("buyer.name buyer.tax_id? " + PARTIES + "machine_number? cipher? lines:lines"),
    "10": layout("buyer.name buyer.tax_id? " + PARTIES + "machine_number cipher? lines:lines"),
    "02": layout(
        "buyer.name buyer.tax_id buyer.address_phone? buyer.bank_account? consignor.name consignor.tax_id? consignee.name"
        " consignee.tax_id? route cargo? carriage? tonnage? fees:fees rate:rate tax_office.name tax_office.code"
        " machine_number? cipher?"
    ),
    "03": layout(
        "buyer.name buyer.id_card? buyer.tax_id? vehicle.type vehicle.model vehicle.origin vehicle:papers vehicle.vin"
        " vehicle.engine_number? vehicle.manufacturer? tonnage? vehicle.seats? vehicle.tax_receipt? seller.phone"
        " seller.address seller.bank seller.account rate:rate tax_office.name tax_office.code machine_number? cipher?"
    ),
    "11": layout("buyer.name? buyer.tax_id? machine_number lines:roll"),
}
ELEMENTS = {
    "lines": layout(
        "nature:nature name specification? unit? pricing:pricing amount:fen rate:rate tax:fen tax_class? own_code?"
        " preference:preference deduction:opt_fen"
    ),
    "roll": layout("name pricing:pricing gross:fen amount:fen rate:rate tax:fen"),
    "fees": layout("item amount:fen"),
}


SHAPED = {  # texts that a decoder looks into; the rules of a draft are not its business
    "buyer.tax_id": TAX_ID, "consignor.tax_id": TAX_ID, "consignee.tax_id": TAX_ID, "vehicle.vin": VIN,
}  # fmt: skip


def write_field(member: str, shape: str, values: Values) -> bytes:
    value = values.get(member)
    if shape in ELEMENTS:
        return uint(len(values[member]), 2) + b"".join(write_fields(ELEMENTS[shape], element) for element in values[member])
    if shape == "opt":
        return write_opt(None if value is None else write_text(value))
    if shape == "opt_fen":
        return write_opt(None if value is None else fen(value))
    if shape == "pricing":
        priced = "quantity" in values
        return write_opt(sint(scaled(values["quantity"], 8)) + sint(scaled(values["price"], 8)) if priced else None)
    if shape == "preference":
        return write_opt(write_text(values.get("preference", "")) if "preferential" in values else None)
    if shape == "papers":
        if "vehicle.certificate" in values:
            return b"\1" + write_text(values["vehicle.certificate"])
        return b"\2" + write_text(values["vehicle.import_certificate"]) + write_text(values["vehicle.inspection"])
    if shape == "red":
        if "red.original_code" not in values:
            return write_opt(None)
        original = write_invoice_id(values["red.original_code"], values["red.original_number"])
        notice = write_field("red.notice_number", "opt", values)
        return write_opt(original + notice + uint(int(values.get("red.reason", "0")), 1))
    if shape == "rate":
        return uint(scaled(values["rate"], 5), 4) + uint(int(values.get("treatment", "0")), 1)
    if shape == "nature":
        return uint(int(values.get("nature", "0")), 1)
    return fen(values[member]) if shape == "fen" else write_text(values[member])


def write_fields(fields: Iterable[Field], values: Values) -> bytes:
    return b"".join(write_field(member, shape, values) for member, shape in fields)


def read_field(member: str, shape: str, reader: Reader) -> Values:
    if shape in ELEMENTS:
        count = reader.uint(2)
        need(1 <= count <= ARRAYS[member][1], f"{member}: none, or too many")
        return {member: [read_fields(ELEMENTS[shape], reader) for _ in range(count)]}
    if shape == "rate":
        number = reader.uint(4)
        need(number < 100_000, "rate out of range")
        values = {"rate": unscaled(number, 5)}
        treatment = reader.one_of(0, 1, 2, 3)
        return values | ({"treatment": str(treatment)} if treatment else {})
    if shape == "nature":
        nature = reader.one_of(0, 1, 2, 6)
        return {member: str(nature)} if nature else {}
    if shape == "papers":
        if reader.one_of(1, 2) == 1:
            return {"vehicle.certificate": reader.text()}
        return {"vehicle.import_certificate": reader.text(), "vehicle.inspection": reader.text()}
    if shape in ("text", "fen"):
        return {member: SHAPED.get(member, str)(reader.text()) if shape == "text" else reader.fen()}
    if not reader.present():
        return {}
    if shape == "pricing":
        return {"quantity": reader.dec8(), "price": reader.dec8()}
    if shape == "preference":
        preference = reader.text(may_be_empty=True)
        return {"preferential": "true"} | ({"preference": preference} if preference else {})
    if shape == "red":
        code, number = reader.invoice_id()
        values = {"red.original_code": code, "red.original_number": number}
        values |= read_field("red.notice_number", "opt", reader)
        reason = reader.one_of(0, 1, 2, 3, 4)
        return values | ({"red.reason": str(reason)} if reason else {})
    return {member: SHAPED.get(member, str)(reader.text()) if shape == "opt" else reader.fen()}


def read_fields(fields: Iterable[Field], reader: Reader) -> Values:
    values: Values = {}
    for member, shape in fields:
        values |= read_field(member, shape, reader)
    return values


def write_rest(values: Values) -> bytes:
    """The rest without the issuer slot."""
    return write_fields(HEAD + PARTICULARS[values["kind"]], values)


def decode(face: bytes, rest: bytes) -> tuple[Values, bytes, bytes, bytes]:
    """Values, the face and the rest written anew from them, and the issuer slot's 72 bytes or none."""
    reader = Reader(face)
    values = read_face(reader)
    reader.end()
    need(len(rest) <= 2 << 20, "rest too long")
    reader = Reader(rest)
    values |= read_fields(HEAD + PARTICULARS[values["kind"]], reader)
    slot = reader.take(72) if reader.present() else b""
    reader.end()
    if "red.original_code" in values:
        need(("red.notice_number" in values) == (values["kind"] in ("01", "02")), "notice number: does not suit the kind")
    if values["kind"] == "03":
        need("buyer.tax_id" in values or "buyer.id_card" in values, "buyer: neither tax id nor identity document")
        values |= {"printed_code": values["code"], "printed_number": values["number"]}
    new_face, new_rest = write_face(values), write_rest(values) + write_opt(slot or None)
    need((new_face, new_rest) == (face, rest), "not the one encoding of its values")
    return values, new_face, new_rest, slot


# ---------------------------------------------------------------- digests and signatures


def label(name: str) -> bytes:
    return f"fapiao/{name}/1".encode() + b"\0"


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def public_key_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(seed: bytes, message: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


FIELD_PRIME = 2**255 - 19
CURVE_D = -121665 * pow(121666, -1, FIELD_PRIME) % FIELD_PRIME


def canonical_large_point(encoding: bytes) -> bool:
    """Whether an encoded point has a canonical y that belongs to no point of order 1, 2, 4 or 8."""
    y = int.from_bytes(encoding, "little") & (2**255 - 1)
    return y < FIELD_PRIME and y not in (0, 1, FIELD_PRIME - 1) and (CURVE_D * y**4 + 2 * y**2 - 1) % FIELD_PRIME != 0


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Strict: the library checks S and the equation without cofactor, byte by byte on R; the points are checked here."""
    if not (canonical_large_point(public_key) and canonical_large_point(signature[:32])):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_id(public_key: bytes, algorithm: int = 1, role: int = 1) -> bytes:
    return sha256(label("key"), bytes([algorithm, role]), public_key)[:8]


def id_tag(tag_key: bytes, code: str, number: str) -> bytes:
    return hmac.digest(tag_key, label("id") + write_invoice_id(code, number), "sha256")


def content_digest(event: int, values: Values) -> bytes:
    return sha256(label("content"), bytes([event]), write_face(values, with_check_code=False), write_rest(values))


# ---------------------------------------------------------------- QR codes


def write_signed_qr(host: str, payload: bytes) -> str:
    host = host.upper()
    need(re.fullmatch(r"[A-Z0-9.:-]{1,28}", host), "host: 1 to 28 letters, digits, dots, dashes, colons")
    return f"HTTPS://{host}/Q/" + base64.b32encode(payload).decode().rstrip("=")


def read_signed_qr(value: str) -> bytes:
    match = re.fullmatch(r"HTTPS?://([A-Z0-9.:-]{1,28})/Q/([A-Z2-7]+)", value)
    if match is None:
        raise Fault("malformed: not the text of a signed QR code")
    try:
        payload = base64.b32decode(match[2] + "=" * (-len(match[2]) % 8))
    except ValueError:
        raise Fault("malformed: not base32") from None
    need(base64.b32encode(payload).decode().rstrip("=") == match[2], "malformed: unused bits are not zero")
    return payload


def crc16_umts(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def write_classic_qr(values: Values) -> str | None:
    if values["kind"] not in ("01", "04", "10"):
        return None
    day = values["date"].replace("-", "")
    fields = ("01", values["kind"], values["code"], values["number"], values["amount"], day, values.get("check_code", ""), "")
    body = ",".join(fields)
    return f"{body}{crc16_umts(body.encode()):04X},"


def read_classic_qr(value: str) -> Values:
    need(value.isascii() and len(value) <= 1024, "not ASCII, or too long")
    value = value.rstrip("\0\r\n ").removesuffix(",")
    parts = value.split(",")
    need(6 <= len(parts) <= 8 and parts[0] == "01", "not the text of a classic QR code")
    need(re.fullmatch(r"[0-9]{8}", parts[5]), "date: not YYYYMMDD")
    fields: Values = {"type": KIND(parts[1]), "code": CODE(parts[2]), "number": NUMBER(parts[3])}
    fields |= {"amount": money(parts[4]), "date": date(parts[5])}
    swallowed = len(parts) == 7 and re.fullmatch(r"[0-9A-Fa-f]{1,4}", parts[6]) is not None
    check_code, crc = ("", parts[6]) if swallowed else (parts[6:] + ["", ""])[:2]
    need(re.fullmatch(r"([0-9]{20})?", check_code), "check code: not 20 digits")
    need(re.fullmatch(r"[0-9A-Fa-f]{0,4}", crc), "CRC: not 1 to 4 hex digits")
    crc_ok = None
    if crc:
        body = value[: -len(crc)]
        covered = [body, body.removesuffix(",")] + ([body + ","] if swallowed else [])
        crc_ok = int(crc, 16) in [crc16_umts(text.encode()) for text in covered]
    return fields | {"check_code": check_code or None, "crc_ok": crc_ok}


# ---------------------------------------------------------------- tree and checkpoints


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\0", leaf)


def tree(leaves: list[bytes]) -> tuple[bytes, list[list[bytes]]]:
    """Root and inclusion proofs, RFC 6962 section 2.1."""
    hashes = [leaf_hash(leaf) for leaf in leaves]

    def split(size: int) -> int:
        return 1 << (size - 1).bit_length() - 1

    @cache
    def root(low: int, high: int) -> bytes:
        if high - low <= 1:
            return hashes[low] if high > low else sha256()
        middle = low + split(high - low)
        return sha256(b"\1", root(low, middle), root(middle, high))

    def path(index: int, low: int, high: int) -> list[bytes]:
        if high - low <= 1:
            return []
        middle = low + split(high - low)
        if index < middle:
            return path(index, low, middle) + [root(middle, high)]
        return path(index, middle, high) + [root(low, middle)]

    return root(0, len(hashes)), [path(index, 0, len(hashes)) for index in range(len(hashes))]


def checkpoint_key_hash(origin: str, public_key: bytes) -> bytes:
    return sha256(origin.encode(), b"\n\x01", public_key)[:4]


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def base64_bytes(value: str) -> bytes:
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError:
        raise Fault("not base64") from None
    need(base64_text(data) == value, "not canonical base64")
    return data


def write_checkpoint(origin: str, size: int, root: bytes, seed: bytes) -> str:
    need(ORIGIN.fullmatch(origin), "origin: not <host>/<16 hex digits>")
    body = f"{origin}\n{size}\n{base64_text(root)}\n"
    signature = checkpoint_key_hash(origin, public_key_of(seed)) + sign(seed, body.encode())
    return f"{body}\n\u2014 {origin} {base64_text(signature)}\n"


ORIGIN = re.compile(r"[a-z0-9.:-]{1,28}/[0-9a-f]{16}")


def read_checkpoint(note: str, origin: str, public_key: bytes) -> tuple[int, bytes]:
    need(len(note.encode()) <= 128 << 10, "longer than any note")
    need(not re.search(r"[\x00-\x09\x0b-\x1f]", note), "control character")
    head, gap, block = note.rpartition("\n\n")
    need(gap and block.endswith("\n"), "no signatures")
    lines, body, ours = block[:-1].split("\n"), head + "\n", []
    need(len(lines) <= 16, "too many signatures")
    for line in lines:
        match = re.fullmatch(r"\u2014 ([^\s+]+) ([^ ]+)", line)
        if match is None:
            raise Fault("not a signature line")
        need(len(match[1].encode()) <= 255, "key name too long")
        data = base64_bytes(match[2])
        need(len(data) >= 5, "signature too short")
        if match[1] == origin and data[:4] == checkpoint_key_hash(origin, public_key):
            ours.append(data[4:])
    need(ours, "not signed by this key")
    need(all(len(signature) == 64 and verify(public_key, signature, body.encode()) for signature in ours), "wrong signature")
    match = re.fullmatch(r"(.*)\n(0|[1-9][0-9]{0,19})\n(.*)\n", body)
    if match is None:
        raise Fault("not a checkpoint")
    need(match[1] == origin and ORIGIN.fullmatch(origin), "another origin, or none")
    size, root = int(match[2]), base64_bytes(match[3])
    need(size <= ALL_ONES and len(root) == 32, "size or root out of range")
    return size, root


# ---------------------------------------------------------------- requests


def hex_in(request: Values, name: str, size: int | None = None) -> bytes:
    value = request.get(name)
    if not isinstance(value, str) or not re.fullmatch(r"([0-9A-Fa-f]{2})*", value):
        raise Fault(f"{name}: not hexadecimal")
    need(size is None or len(value) == 2 * size, f"{name}: not {size} bytes")
    return bytes.fromhex(value)


def int_in(request: Values, name: str, size: int) -> bytes:
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Fault(f"{name}: not an integer")
    return uint(value, size)


def str_in(request: Values, name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise Fault(f"{name}: not a string")
    return value


def object_in(request: Values, name: str) -> Values:
    value = request.get(name)
    if not isinstance(value, dict):
        raise Fault(f"{name}: not an object")
    return value


def u64_or_ones(request: Values, name: str) -> bytes:
    return uint(ALL_ONES, 8) if request.get(name) is None else int_in(request, name, 8)


def kind_in(request: Values) -> int:
    value = request.get("kind")
    return int(KIND(value)) if isinstance(value, str) else int_in(request, "kind", 1)[0]


def mark_in(request: Values, allowed: tuple[int, ...]) -> bytes:
    mark = MARKS.get(request["mark"]) if isinstance(request.get("mark"), str) else int_in(request, "mark", 1)[0]
    need(mark in allowed, "mark: unknown value")
    return bytes([mark or 0])


def op_encode(request: Values) -> Values:
    values = read_draft(request.get("draft"))
    if values["kind"] in WITH_CHECK_CODE and "check_code" not in values:
        values["check_code"] = CHECK_CODE(str_in(request, "check_code"))
    salt, seed = hex_in(request, "salt", 16), hex_in(request, "authority_seed", 32)
    tag_key, host = hex_in(request, "tag_key", 32), str_in(request, "host")
    is_red = "red.original_code" in values
    face, slot = write_face(values), None
    if "issuer_seed" in request:
        issuer = hex_in(request, "issuer_seed", 32)
        submitted = label("submit") + bytes([2 if is_red else 1]) + face + sha256(write_rest(values))
        slot = key_id(public_key_of(issuer), role=6) + sign(issuer, submitted)
    elif "issuer.key_id" in values:
        slot = bytes.fromhex(values["issuer.key_id"] + values["issuer.signature"])
    rest = write_rest(values) + write_opt(slot)
    rest_digest = sha256(label("rest"), salt, rest)
    message = label("invoice") + face + rest_digest
    signature, identity = sign(seed, message), key_id(public_key_of(seed))
    original = id_tag(tag_key, values["red.original_code"], values["red.original_number"]).hex() if is_red else None
    return {
        "face": face.hex(),
        "rest": rest.hex(),
        "rest_digest": rest_digest.hex(),
        "commit": sha256(message).hex(),
        "signature": signature.hex(),
        "key_id": identity.hex(),
        "id_tag": id_tag(tag_key, values["code"], values["number"]).hex(),
        "original_id_tag": original,
        "content_digest": content_digest(2 if is_red else 1, values).hex(),
        "signed_qr": write_signed_qr(host, b"\1" + identity + face + rest_digest + signature),
        "classic_qr": write_classic_qr(values),
    }


def op_decode(request: Values) -> Values:
    values, face, rest, slot = decode(hex_in(request, "face"), hex_in(request, "rest"))
    issuer = {"key_id": slot[:8].hex(), "signature": slot[8:].hex()} if slot else None
    return {"draft": nest(values), "issuer": issuer, "re_encoded_face": face.hex(), "re_encoded_rest": rest.hex()}


def op_decode_qr(request: Values) -> Values:
    payload, public_key = read_signed_qr(str_in(request, "text")), hex_in(request, "public_key", 32)
    reader = Reader(payload)
    reader.one_of(1)
    identity = reader.take(8)
    start = reader.at
    values = read_face(reader)
    face = payload[start : reader.at]
    rest_digest, signature = reader.take(32), reader.take(64)
    reader.end()
    message = label("invoice") + face + rest_digest
    return {
        "key_id": identity.hex(),
        "face": face.hex(),
        "fields": nest(values),
        "rest_digest": rest_digest.hex(),
        "signature": signature.hex(),
        "commit": sha256(message).hex(),
        "valid": identity == key_id(public_key) and verify(public_key, signature, message),
    }


def event_data(event: int, data: Values) -> bytes:
    if event in (3, 4):
        identity = object_in(data, "id")
        invoice_id = write_invoice_id(str_in(identity, "code"), str_in(identity, "number"))
        return b"\1" + invoice_id + (write_date(str_in(data, "day")) if event == 3 else mark_in(data, MARKS_OF[4]))
    if event in (5, 6):
        first, last = NUMBER(str_in(data, "first")), NUMBER(str_in(data, "last"))
        need(first <= last, "last: before first")
        numbers = write_code(CODE(str_in(data, "code"))) + bytes.fromhex(first + last)
        if event == 6:
            return b"\1" + numbers + mark_in(data, MARKS_OF[6])
        kind = kind_in(data)
        need(f"{kind:02}" in KINDS, "kind: unknown value")
        return b"\1" + write_text(TAX_ID(str_in(data, "taxpayer"))) + bytes([kind]) + numbers
    if event == 14:
        lost = data.get("lost")
        beyond = None if lost is None else int_in(object_in(data, "lost"), "size", 8) + hex_in(object_in(data, "lost"), "root", 32)
        reason = str_in(data, "reason")
        need(0 < len(reason.encode()) <= 1024, "reason: empty or too long")
        need(all(ORIGIN.fullmatch(str_in(data, name)) for name in ("previous", "origin")), "origin: not <host>/<16 hex digits>")
        kept = write_text(str_in(data, "previous")) + int_in(data, "size", 8) + hex_in(data, "root", 32)
        return b"\1" + kept + write_opt(beyond) + write_text(str_in(data, "origin")) + write_text(reason)
    if event == 13:
        return b"\1" + int_in(data, "made", 8) + int_in(data, "size", 8) + int_in(data, "tokens", 4) + hex_in(data, "digest", 32)
    if event == 8:
        first, count = int_in(data, "first", 8), int_in(data, "count", 4)
        earliest, latest = int_in(data, "earliest", 8), int_in(data, "latest", 8)
        need(any(count) and int.from_bytes(first, "big") + int.from_bytes(count, "big") <= ALL_ONES, "count: none, or more than can be counted")
        need(earliest <= latest, "latest: before earliest")
        return b"\1" + first + count + hex_in(data, "root", 32) + earliest + latest
    if event == 15:
        policy = str_in(data, "policy")
        need(0 < len(policy.encode()) <= 12_288, "policy: empty or too long")
        previous = None if data.get("previous") is None else int_in(data, "previous", 8)
        return b"\1" + write_opt(previous) + write_text(policy)
    need(event == 7, "event: not 3 to 8, or 13 to 15")
    algorithm, role = int_in(data, "algorithm", 1), int_in(data, "role", 1)
    need(algorithm == b"\1" and role[0] in (1, 2, 3, 6), "algorithm or role: not of a public key")
    public, identity = hex_in(data, "public_key", 32), hex_in(data, "key_id", 8)
    need(identity == key_id(public, 1, role[0]), "key_id: not the key's")
    window = int_in(data, "valid_from", 8) + u64_or_ones(data, "valid_until")
    need(window[:8] < window[8:], "valid_until: not after valid_from")
    record = algorithm + role + identity + write_text(public) + window
    if data.get("reason") is None:
        return b"\1" + record
    reason = int_in(data, "reason", 1)
    need(reason in (b"\1", b"\2", b"\3"), "reason: not 1 to 3")
    need(window[8:] != b"\xff" * 8, "valid_until: a key that is withdrawn has an end")
    return b"\2" + record + reason


def read_event_data(event: int, data: bytes) -> Values:
    reader = Reader(data)
    version = reader.one_of(*((1, 2) if event == 7 else (1,)))
    values: Values = {}
    if event in (3, 4):
        code, number = reader.invoice_id()
        values["id"] = {"code": code, "number": number}
    elif event in (5, 6):
        if event == 5:
            values |= {"taxpayer": TAX_ID(reader.text()), "kind": f"{reader.uint(1):02}"}
        code = reader.take(6).hex()
        code = code[:10] if code.endswith("ff") else code
        need(code.isdecimal(), "not BCD")
        values |= {"code": code, "first": reader.bcd(4), "last": reader.bcd(4)}
    if event == 3:
        values["day"] = date(f"{reader.uint(4):08}")
    elif event in (4, 6):
        values["mark"] = reader.uint(1)
    elif event == 7:
        values |= {"algorithm": reader.uint(1), "role": reader.uint(1), "key_id": reader.take(8).hex()}
        need(reader.uint(2) == 32, "public key: not 32 bytes")
        values |= {"public_key": reader.take(32).hex(), "valid_from": reader.uint(8)}
        until = reader.uint(8)
        values["valid_until"] = None if until == ALL_ONES else until
        if version == 2:
            values["reason"] = reader.uint(1)
    elif event == 8:
        values |= {"first": reader.uint(8), "count": reader.uint(4), "root": reader.take(32).hex()}
        values |= {"earliest": reader.uint(8), "latest": reader.uint(8)}
    elif event == 13:
        values |= {"made": reader.uint(8), "size": reader.uint(8), "tokens": reader.uint(4), "digest": reader.take(32).hex()}
    elif event == 14:
        values |= {"previous": reader.text(), "size": reader.uint(8), "root": reader.take(32).hex(), "lost": None}
        if reader.present():
            values["lost"] = {"size": reader.uint(8), "root": reader.take(32).hex()}
        values |= {"origin": reader.text(), "reason": reader.text()}
    elif event == 15:
        values["previous"] = reader.uint(8) if reader.present() else None
        values["policy"] = reader.text()
    reader.end()
    need(event_data(event, values) == data, "not the one encoding of its values")
    return values


def op_decode_event(request: Values) -> Values:
    return read_event_data(int_in(request, "event", 1)[0], hex_in(request, "data"))


def op_event(request: Values) -> Values:
    event = int_in(request, "event", 1)
    data = event_data(event[0], object_in(request, "data"))
    message = label("event") + event + hex_in(request, "salt", 16) + data
    signature = sign(hex_in(request, "authority_seed", 32), message)
    return {"data": data.hex(), "commit": sha256(message).hex(), "signature": signature.hex()}


def op_leaf(request: Values) -> Values:
    event, kind, flags = int_in(request, "event", 1), kind_in(request), int_in(request, "flags", 2)
    need(1 <= event[0] <= 15, "event: unknown value")
    need(f"{kind:02}" in KINDS if event[0] <= 4 else kind == 0, "kind: does not suit the event")
    need(flags in (b"\0\0", b"\0\1"), "flags: unknown bit")
    tag, reference = hex_in(request, "id_tag", 32), u64_or_ones(request, "ref_index")
    need(event[0] <= 4 or not any(tag), "id_tag: not zeros")
    if event[0] <= 8 or event[0] >= 14:
        need((reference != b"\xff" * 8) == (event[0] in (2, 3, 4)), "ref_index: does not suit the event")
    head = b"\0\1" + event + bytes([kind]) + b"\0\0" + flags
    leaf = head + int_in(request, "time_ms", 8) + reference + tag + hex_in(request, "commit", 32) + hex_in(request, "key_id", 8)
    return {"leaf": leaf.hex(), "leaf_hash": leaf_hash(leaf).hex()}


def op_decode_leaf(request: Values) -> Values:
    leaf = hex_in(request, "leaf", 96)
    reader = Reader(leaf)
    version, event, kind, shard = reader.uint(2), reader.uint(1), reader.uint(1), reader.uint(2)
    need(version == 1 and shard == 0, "version or shard: unknown value")
    values: Values = {"event": event, "kind": kind, "flags": reader.uint(2), "time_ms": reader.uint(8), "ref_index": reader.uint(8)}
    values["ref_index"] = None if values["ref_index"] == ALL_ONES else values["ref_index"]
    values |= {"id_tag": reader.take(32).hex(), "commit": reader.take(32).hex(), "key_id": reader.take(8).hex()}
    need(op_leaf(values)["leaf"] == leaf.hex(), "not the one encoding of its values")
    return values


def op_tree(request: Values) -> Values:
    leaves = request.get("leaves")
    if not isinstance(leaves, list):
        raise Fault("leaves: not an array")
    root, paths = tree([hex_in({"leaf": leaf}, "leaf") for leaf in leaves])
    return {"root": root.hex(), "inclusion": [[node.hex() for node in path] for path in paths]}


def op_checkpoint(request: Values) -> Values:
    size = int.from_bytes(int_in(request, "size", 8), "big")
    note = write_checkpoint(str_in(request, "origin"), size, hex_in(request, "root", 32), hex_in(request, "seed", 32))
    return {"note": note}


def op_verify_checkpoint(request: Values) -> Values:
    note, origin = str_in(request, "note"), str_in(request, "origin")
    size, root = read_checkpoint(note, origin, hex_in(request, "public_key", 32))
    return {"size": size, "root": root.hex()}


VERDICTS = (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 20, 21, 30, 40)


def query_digest(query: Values) -> bytes:
    if "text" in query:
        asked = str_in(query, "text")
        need(len(asked.encode()) <= 1024, "text: too long")
        return sha256(label("query"), b"\2", write_text(asked))
    later = ("total", "seller_id", "buyer_id")
    names = ("code", "number", "date", "amount", "check")
    data = b"\1"
    if any(query.get(name) not in (None, "") for name in later):
        names, data = names + later, b"\3"
    for name in names:
        absent = name not in ("code", "number") and query.get(name) in (None, "")
        value = None if absent else str_in(query, name)
        need(value is None or len(value.encode()) <= 64, f"{name}: too long")
        field = None if value is None else write_text(value)
        data += write_opt(field) if field is None or name not in ("code", "number") else field
    return sha256(label("query"), data)


def findings(request: Values) -> bytes:
    """What was found of an invoice: the end of an answer and of a row."""
    remaining = None
    if request.get("remaining") is not None:
        left = object_in(request, "remaining")
        remaining = fen(money(str_in(left, "amount"))) + fen(money(str_in(left, "tax")))
    commit = None if request.get("commit") is None else hex_in(request, "commit", 32)
    return int_in(request, "times_verified", 8) + u64_or_ones(request, "first_verified") + write_opt(commit) + write_opt(remaining)


def op_answer(request: Values) -> Values:
    digest = query_digest(object_in(request, "query")) if "query" in request else hex_in(request, "query_digest", 32)
    need(int_in(request, "verdict", 1)[0] in VERDICTS, "verdict: unknown value")
    need(ORIGIN.fullmatch(str_in(request, "origin")), "origin: not <host>/<16 hex digits>")
    answer = label("answer") + int_in(request, "verdict", 1) + digest + write_text(str_in(request, "origin"))
    answer += int_in(request, "size", 8) + hex_in(request, "root", 32) + int_in(request, "time", 8)
    answer += findings(request)
    return {"answer": answer.hex(), "signature": sign(hex_in(request, "seed", 32), answer).hex()}


def op_answers(request: Values) -> Values:
    """Data of the event that tells of these answers, what stands for each, and the path from each to the root."""
    answers = request["answers"]
    need(isinstance(answers, list) and answers, "answers: not a list, or empty")
    signed = [hex_in(one, "answer") + hex_in(one, "signature", 64) for one in answers]
    root, paths = tree(signed)
    times = [int.from_bytes(int_in(one, "time", 8), "big") for one in answers]
    said = {"first": request["first"], "count": len(answers), "root": root.hex(), "earliest": min(times), "latest": max(times)}
    return {
        "data": event_data(8, said).hex(),
        "hashes": [leaf_hash(one).hex() for one in signed],
        "paths": [[node.hex() for node in path] for path in paths],
    }


def write_row(row: Values) -> bytes:
    if "line" in row:
        digest = sha256(label("line"), str_in(row, "line").encode()[:16384].strip(b" \t\n\f\r"))
    else:
        digest = query_digest(object_in(row, "query")) if "query" in row else hex_in(row, "query_digest", 32)
    need(int_in(row, "verdict", 1)[0] in VERDICTS, "verdict: unknown value")
    data = label("row") + hex_in(row, "salt", 16) + int_in(row, "verdict", 1) + digest
    return data + int_in(row, "size", 8) + int_in(row, "time", 8) + findings(row)


def op_rows(request: Values) -> Values:
    """The rows of a bulk result, what is signed over them, what stands for that in the log, and the path from each row."""
    listed = request.get("list")
    need(isinstance(listed, list) and listed, "list: not a list, or empty")
    need(ORIGIN.fullmatch(str_in(request, "origin")), "origin: not <host>/<16 hex digits>")
    rows = [write_row(row) for row in listed]
    root, paths = tree(rows)
    data = label("rows") + write_text(str_in(request, "origin")) + int_in(request, "size", 8) + hex_in(request, "root", 32)
    data += int_in(request, "time", 8) + uint(len(rows), 8) + root
    signature = sign(hex_in(request, "seed", 32), data)
    return {
        "list": [row.hex() for row in rows],
        "rows": data.hex(),
        "signature": signature.hex(),
        "hash": leaf_hash(data + signature).hex(),
        "paths": [[node.hex() for node in path] for path in paths],
    }


def climb(leaf: bytes, place: int, count: int, path: list[bytes]) -> bytes:
    """The root to which a path leads, as RFC 6962 splits a list of so many."""
    low, high, sides = 0, count, []
    while high - low > 1:
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        sides.append(place >= middle)
        low, high = (middle, high) if place >= middle else (low, middle)
    need(len(sides) == len(path), "path: another length")
    for right, sibling in zip(reversed(sides), path, strict=True):
        leaf = sha256(b"\1", sibling, leaf) if right else sha256(b"\1", leaf, sibling)
    return leaf


def op_verify_row(request: Values) -> Values:
    """What a row of a bulk result says, if the answering key signed all rows and this is the one at its place."""
    file = object_in(request, "file")
    need(file.get("format") == "fapiao-row/1", "format: not fapiao-row/1")
    row, rows, signature = hex_in(file, "row"), hex_in(file, "rows"), hex_in(file, "signature", 64)
    need(verify(hex_in(request, "answering_key", 32), signature, rows), "signature: wrong")
    reader = Reader(rows)
    need(reader.take(14) == label("rows"), "rows: another label")
    origin = reader.take(reader.uint(2)).decode()
    size, root, time, count = reader.uint(8), reader.take(32), reader.uint(8), reader.uint(8)
    rows_root = reader.take(32)
    reader.end()
    need(origin == str_in(request, "origin"), "origin: another log")
    signed = read_checkpoint(str_in(file, "checkpoint"), origin, hex_in(request, "checkpoint_key", 32))
    need(signed == (size, root), "checkpoint: of another state")
    place = int.from_bytes(int_in(file, "place", 8), "big")
    need(place < count, "place: outside")
    need(climb(leaf_hash(row), place, count, [bytes.fromhex(node) for node in file["path"]]) == rows_root, "path: leads elsewhere")
    reader = Reader(row)
    need(reader.take(13) == label("row"), "row: another label")
    reader.take(16)
    verdict, digest = reader.uint(1), reader.take(32).hex()
    row_size, row_time = reader.uint(8), reader.uint(8)
    need(verdict in VERDICTS and row_size <= size and row_time <= time, "row: later than what was signed")
    return {"verdict": verdict, "query_digest": digest, "size": row_size, "time": row_time, "place": place, "count": count}


def op_revocations(request: Values) -> Values:
    """A signed revocation list of these commits, and back."""
    commits = request["commits"]
    need(isinstance(commits, list), "commits: not a list")
    tokens = sorted({int.from_bytes(sha256(label("revoked"), bytes.fromhex(commit))[:8], "big") for commit in commits})
    low = 64 - len(tokens).bit_length() if tokens else 0
    bits, previous = [], -1
    for token in tokens:
        gap = token - previous - 1
        bits.append("1" * (gap >> low) + "0" + (f"{gap & ((1 << low) - 1):0{low}b}" if low else ""))
        previous = token
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    data = label("revocations") + write_text(str_in(request, "origin")) + int_in(request, "size", 8) + hex_in(request, "root", 32)
    data += int_in(request, "made", 8) + int_in(request, "next", 8) + uint(len(tokens), 4) + uint(low, 1)
    data += int(text or "0", 2).to_bytes(len(text) // 8, "big") + hex_in(request, "key_id", 8)
    return {"list": (data + sign(hex_in(request, "seed", 32), data)).hex()}


def op_classic_qr(request: Values) -> Values:
    return read_classic_qr(str_in(request, "text"))


OPERATIONS: dict[str, Callable[[Values], Values]] = {
    "encode": op_encode, "decode": op_decode, "decode_qr": op_decode_qr, "event": op_event, "decode_event": op_decode_event,
    "leaf": op_leaf, "decode_leaf": op_decode_leaf, "tree": op_tree, "checkpoint": op_checkpoint,
    "verify_checkpoint": op_verify_checkpoint, "answer": op_answer, "answers": op_answers, "rows": op_rows, "verify_row": op_verify_row,
    "revocations": op_revocations, "classic_qr": op_classic_qr,
}  # fmt: skip


def unique_members(pairs: list[tuple[str, Any]]) -> Values:
    members = dict(pairs)
    need(len(members) == len(pairs), "a member is written twice")
    return members


def refuse_float(number: str) -> Any:
    raise Fault(f"{number}: only integers and strings")


def respond(line: bytes) -> Values:
    try:
        request = json.loads(
            line.decode("utf-8"), object_pairs_hook=unique_members, parse_float=refuse_float, parse_constant=refuse_float
        )
        need(isinstance(request, dict), "not a JSON object")
        operation = OPERATIONS.get(str_in(request, "op"))
        if operation is None:
            raise Fault("op: unknown")
        return operation(request)
    except Fault as fault:
        return {"error": str(fault)}
    except (ValueError, RecursionError) as error:  # JSON, UTF-8, lone surrogates
        return {"error": f"{type(error).__name__}: {error}"}


# ---------------------------------------------------------------- self-test


def sample(kind: str, red: bool = False) -> Values:
    """A small draft of each kind, in a mix of English and pinyin names."""
    minus = "-" if red else ""
    lines = [{"xm": "服务", "sl": "1", "dj": "113.0", "je": minus + "100", "slv": "13%", "se": minus + "13"}]
    draft: Values = {
        "kind": kind, "fpdm": "0" * max(CODE_LENGTHS[kind]), "fphm": "00012345", "kprq": "20190401", "je": minus + "100",
        "se": minus + "13.00", "jshj": minus + "113", "kpr": "张三", "buyer": {"name": "买方", "tax_id": "9" * 18},
        "seller": {"name": "卖方", "tax_id": "8" * 20}, "bz": "一\n二", "jqbh": "499098504973", "payee": "",
    }  # fmt: skip
    if kind in ("02", "03"):
        draft |= {"slv": "0.13", "swjgmc": "税务局", "swjgdm": "110000000"}
    if kind == "02":
        draft |= {"fhrmc": "发", "shrmc": "收", "qyd": "甲至乙", "fees": [{"fyxm": "运费", "je": minus + "100"}], "dw": "5"}
    elif kind == "03":
        draft |= {"jddm": "0" * 12, "jdhm": "00012345", "dh": "1", "dz": "路", "khyh": "行", "zh": "2", "jkzmsh": "J", "sjdh": "S"}
        draft |= {"vehicle": {"type": "车", "model": "M", "origin": "德国", "vin": "1" * 17}}
    else:
        draft["mxxx"] = [line | ({"hsje": minus + "113"} if kind == "11" else {"yhzcbs": True, "ggxh": None}) for line in lines]
    if red:
        draft |= {"yfpdm": "1100153130", "yfphm": "12345678", "chyy": "1"} | ({"xxbbh": "1" * 16} if kind in ("01", "02") else {})
    return draft


def self_test() -> int:
    checks = 0

    def check(condition: object) -> None:
        nonlocal checks
        checks += 1
        if not condition:
            raise SystemExit(f"self-test: check {checks} failed")

    def ask(op: str, **request: Any) -> Values:
        return respond(json.dumps({"op": op} | request).encode())

    check(write_invoice_id("011001500111", "00012345").hex() == "01100150011100012345")
    check(write_invoice_id("1100153130", "12345678").hex() == "1100153130ff12345678")
    check(tree([])[0].hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    check(len(label("answer")) == 16)
    for members in (TOP_MEMBERS, LINE_MEMBERS, FEE_MEMBERS):
        names = [name for member in members for name in [member.path, *member.aliases.split()]]
        check(len(names) == len(set(names)))

    for body, crc, crc_ok in (
        ("01,10,033001600211,11255692,349997.85,20180227,62521957050111533932,", "7DF9", True),
        ("01,01,1200154130,03630024,94339.62,20160621,,", "9335", True),
        ("01,04,4200161350,00015045,165106.00,20160501,48114255542168294433,", "DBFE", True),
        ("01,10,011001900311,21010038,300,20200407,01731581649436515692,", "53F1", True),
        ("01,01,3200204130,09264957,34192.04,20210220,,", "5878", True),
        ("01,01,3100204130,06039254,5015.00,20210315,,", "D2", True),
        ("01,10,011001700112,10113872,32,20180224,17602940807063740560,", "0819", True),
        ("01,10,031002100411,25096213,6.56,20210903,11631437361999467829,", "F168", True),
        ("01,10,033001600211,73843482,28.30,20170628,61180471846138424764,", "9F5B", False),
        ("01,10,033001600211,73843482,28.30,20170628,61180471846138424764,", "", None),
    ):
        for end in (",", ""):
            check(read_classic_qr(body + crc + end)["crc_ok"] is crc_ok)

    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # RFC 8032, test 1
    public = public_key_of(seed)
    check(public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    check(sign(seed, b"").hex().startswith("e5564300c360ac729086e2cc806e828a") and verify(public, sign(seed, b""), b""))
    order_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
    check(not canonical_large_point(order_8) and not canonical_large_point(b"\xff" * 32) and canonical_large_point(public))

    keys = {"salt": "00" * 16, "authority_seed": seed.hex(), "tag_key": "11" * 32, "host": "EXAMPLE.CN", "check_code": "1" * 20}
    for kind in KINDS:
        for red in (False, True):
            made = ask("encode", draft=sample(kind, red), **keys)
            check("error" not in made and 49 <= len(made["face"]) // 2 <= 64)
            back = ask("decode", face=made["face"], rest=made["rest"])
            check((back["re_encoded_face"], back["re_encoded_rest"]) == (made["face"], made["rest"]))
            check(back["draft"]["total"] == ("-113.00" if red else "113.00") and ("red" in back["draft"]) == red)
            slot = made["rest"][:-2] + "01" + "ab" * 72
            check(ask("decode", face=made["face"], rest=slot)["re_encoded_rest"] == slot)
            for face, rest in ((made["face"] + "00", made["rest"]), (made["face"], made["rest"] + "00"), (made["face"], slot[:-2])):
                check("error" in ask("decode", face=face, rest=rest))
            qr = made["signed_qr"]
            check(len(qr.rpartition("/")[2]) <= 271 and ask("decode_qr", text=qr, public_key=public.hex())["valid"])
            for wrong in (qr.lower(), qr + "=", qr[:-1], qr + "AAAAAAAA"):
                check("error" in ask("decode_qr", text=wrong, public_key=public.hex()))
            classic = made["classic_qr"]
            check((classic is None) == (kind not in ("01", "04", "10")) and (classic is None or read_classic_qr(classic)["crc_ok"]))
    for change in ({"gfmc": "x"}, {"je": 100}, {"bz": "\t"}, {"x": "y"}, {"se": "13.01"}, {"red": {"reason": "1"}}, {"fpdm": "0" * 10}):
        check("error" in ask("encode", draft=sample("10") | change, **keys))
    check("error" not in ask("encode", draft=sample("10"), **keys))

    leaves = [bytes([index]) * 96 for index in range(11)]
    root, paths = tree(leaves)
    for index, path in enumerate(paths):
        node, low, high, sides = leaf_hash(leaves[index]), 0, len(leaves), []
        while high - low > 1:
            middle = low + (1 << (high - low - 1).bit_length() - 1)
            sides.append(index >= middle)
            low, high = (middle, high) if index >= middle else (low, middle)
        for right, sibling in zip(reversed(sides), path, strict=True):
            node = sha256(b"\1", sibling, node) if right else sha256(b"\1", node, sibling)
        check(node == root)
    note = write_checkpoint("example.cn/0123456789abcdef", 11, root, seed)
    check(read_checkpoint(note, "example.cn/0123456789abcdef", public) == (11, root))
    check("error" in ask("verify_checkpoint", note=note.replace("\n11\n", "\n12\n"), origin=note.split("\n")[0], public_key=public.hex()))
    for line in (b"", b"[]", b"{", b"\xff", b'{"op":1}', b'{"op":"tree","leaves":[1.5]}', b'{"op":"leaf","op":"leaf"}', b"[" * 100000):
        check("error" in respond(line))
    for operation in OPERATIONS:
        check("error" in ask(operation))
    print(f"self-test: {checks} checks passed")
    return 0


def main(arguments: list[str]) -> int:
    if arguments == ["--self-test"]:
        return self_test()
    if arguments:
        print("usage: second_implementation.py [--self-test]", file=sys.stderr)
        return 2
    for line in sys.stdin.buffer:
        if line.strip():
            print(json.dumps(respond(line)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
