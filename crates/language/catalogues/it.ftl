offer-valid-until = Scadenza dell’offerta: { $date }.
email-reason = Riceve questa e-mail da { $brand } perché è cliente e ha accettato di ricevere offerte.
email-security = { $brand } non Le chiede mai il PIN o la password per e-mail.
email-unsubscribe = Non ricevere più offerte per e-mail

sms-opt-out = Per non riceverne più rispondere STOP

page-subscribed-title = { $channel ->
    [sms] Non vuole più offerte per SMS?
   *[email] Non vuole più offerte per e-mail?
}
page-subscribed-text = { $channel ->
    [sms] Prema il pulsante per non ricevere più offerte di { $brand } per SMS. Non cambia nient’altro.
   *[email] Prema il pulsante per non ricevere più offerte di { $brand } per e-mail. Non cambia nient’altro.
}
page-unsubscribe-button = Annullare l’iscrizione
page-opted-out-title = Iscrizione annullata
page-opted-out-text = { $channel ->
    [sms] { $brand } non Le invierà più offerte per SMS. Un’offerta già inviata potrebbe ancora arrivare.
   *[email] { $brand } non Le invierà più offerte per e-mail. Un’offerta già inviata potrebbe ancora arrivare.
}
page-subscribe-button = Ricevere di nuovo le offerte
page-form-expired-title = Prema il pulsante ancora una volta
page-form-expired-text = { $minutes ->
    [one] Questa pagina è rimasta aperta per più di { $minutes } minuto.
    [many] Questa pagina è rimasta aperta per più di { $minutes } minuti.
   *[other] Questa pagina è rimasta aperta per più di { $minutes } minuti.
} Vuole ricevere di nuovo offerte di { $brand }?
page-subscribed-again-title = Felici di ritrovarLa
page-subscribed-again-text = { $channel ->
    [sms] Riceverà di nuovo offerte di { $brand } per SMS.
   *[email] Riceverà di nuovo offerte di { $brand } per e-mail.
}
page-not-found-title = Questo link non funziona
page-not-found-text = Apra di nuovo il link in fondo al messaggio e controlli che sia completo.
page-unavailable-title = Riprovi tra un momento
page-unavailable-text = Ci dispiace, l’operazione non è riuscita. Non è cambiato nulla.
