// What stands behind # in the claim link never leaves the browser by itself: it is put into the form.
const code = document.getElementById("code");
if (location.hash.length > 1) {
  code.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  document.querySelector("input[name=email]").focus();
}
