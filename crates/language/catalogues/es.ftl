offer-valid-until = Oferta válida hasta el { $date }.
email-reason = Recibe este correo de { $brand } porque es cliente y aceptó recibir ofertas.
email-security = { $brand } nunca le pide su PIN ni su contraseña por correo electrónico.
email-unsubscribe = No recibir más ofertas por correo

sms-opt-out = Responda STOP para darse de baja

page-subscribed-title = { $channel ->
    [sms] ¿No quiere más ofertas por SMS?
   *[email] ¿No quiere más ofertas por correo electrónico?
}
page-subscribed-text = { $channel ->
    [sms] Pulse el botón para dejar de recibir ofertas de { $brand } por SMS. No cambia nada más.
   *[email] Pulse el botón para dejar de recibir ofertas de { $brand } por correo electrónico. No cambia nada más.
}
page-unsubscribe-button = Darse de baja
page-opted-out-title = Se ha registrado su baja
page-opted-out-text = { $channel ->
    [sms] { $brand } no le enviará más ofertas por SMS. Es posible que aún reciba alguna oferta ya enviada.
   *[email] { $brand } no le enviará más ofertas por correo electrónico. Es posible que aún reciba alguna oferta ya enviada.
}
page-subscribe-button = Volver a recibir ofertas
page-form-expired-title = Pulse el botón una vez más
page-form-expired-text = { $minutes ->
    [one] Esta página estuvo abierta más de { $minutes } minuto.
    [many] Esta página estuvo abierta más de { $minutes } minutos.
   *[other] Esta página estuvo abierta más de { $minutes } minutos.
} ¿Quiere volver a recibir ofertas de { $brand }?
page-subscribed-again-title = Nos alegra que vuelva
page-subscribed-again-text = { $channel ->
    [sms] Volverá a recibir ofertas de { $brand } por SMS.
   *[email] Volverá a recibir ofertas de { $brand } por correo electrónico.
}
page-not-found-title = Este enlace no funciona
page-not-found-text = Abra otra vez el enlace que está al final del mensaje y compruebe que esté completo.
page-unavailable-title = Inténtelo de nuevo en un momento
page-unavailable-text = Lo sentimos, no se ha podido completar la operación. No ha cambiado nada.
